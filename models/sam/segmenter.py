"""Segment one object of a frame with SAM, HQ-SAM or SAM 2 as transformers has them, prompted by the object's mask.

view = segmenter.look(frame)                      once for all objects of a frame
logits, scores = segmenter.answer(view, prompt)   for each object by itself
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.models.networks.foreign_files import in_short
from motion_adapt.models.sam.find_sam import SamFiles
from motion_adapt.models.sam.prompts import Prompt, prompt_tensors

_CLASSES = {
    "sam": ("SamModel", "SamProcessor"),
    "sam_hq": ("SamHQModel", "SamHQProcessor"),
    "sam2": ("Sam2Model", "Sam2Processor"),
    "sam2_video": ("Sam2Model", "Sam2Processor"),  # the same weights, of which images use a part
}
load_lock = threading.RLock()  # transformers changes torch's global defaults while it loads a model


@dataclass(frozen=True)
class View:
    """One frame as a model has seen it.

    Attributes:
        embeddings: arguments for the model that stand for the frame.
        native: height and width of the frame.
        used: height and width of the resized frame, without padding.
    """

    embeddings: dict[str, Any]
    native: tuple[int, int]
    used: tuple[int, int]


class Segmenter:
    """A Segment Anything model with its image processor. It keeps no state, so threads can share it."""

    def __init__(self, kind: str, model: Any, images: Any, device: str | torch.device) -> None:
        self.kind, self.model, self.images = kind, model, images
        self.device = torch.device(device)
        config = model.config.prompt_encoder_config
        self.side = int(config.image_size)
        self.mask_side = 4 * self.side // int(config.patch_size)

    @torch.inference_mode()
    def look(self, frame: NDArray[np.uint8]) -> View:
        """Compute the embedding of a frame, u8 (H, W, 3) RGB."""
        seen = self._prepare(frame)
        found = self.model.get_image_embeddings(seen["pixel_values"].to(self.device))
        if self.kind == "sam_hq":
            embeddings = {"image_embeddings": found[0], "intermediate_embeddings": found[1]}
        else:
            embeddings = {"image_embeddings": found}
        used = seen.get("reshaped_input_sizes", torch.tensor([[self.side, self.side]]))[0].tolist()
        return View(embeddings, (frame.shape[0], frame.shape[1]), (int(used[0]), int(used[1])))

    def pixels(self, frame: NDArray[np.uint8]) -> Tensor:
        """Return a frame as the model takes it, f32 (1, 3, side, side)."""
        pixels: Tensor = self._prepare(frame)["pixel_values"].to(self.device)
        return pixels

    def _prepare(self, frame: NDArray[np.uint8]) -> Any:
        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"frame: wanted u8 (H, W, 3), got {frame.dtype} {frame.shape}")
        # The layout is passed because it cannot be inferred for a frame with three rows.
        return self.images(frame, return_tensors="pt", input_data_format="channels_last")

    @torch.inference_mode()
    def answer(
        self, view: View, prompt: Prompt, *, several: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Segment one object.

        Args:
            view: the frame, as `look` has seen it.
            prompt: the object, in pixels of the frame.
            several: ask for the model's three candidates, which are for ambiguous prompts, instead of its one answer.

        Returns:
            The logits f32 (C, H, W) at the frame's own size, positive inside, and the IoU that the model predicts for
            each, f32 (C,). C is 3 if `several`, else 1.
        """
        asked = prompt_tensors(
            prompt, native=view.native, used=view.used, side=self.side, mask_side=self.mask_side
        )
        found = self.model(
            **view.embeddings,
            **{name: tensor.to(self.device) for name, tensor in asked.items()},
            multimask_output=several,
        )
        return self.native_logits(found.pred_masks[0, 0], view), found.iou_scores[0, 0].float().cpu().numpy()

    def native_logits(self, low: Tensor, view: View) -> NDArray[np.float32]:
        """Bring logits (C, h, w) of the model's output to the frame's own size, without its padding: f32 (C, H, W)."""
        sizes = {"reshaped_input_sizes": [view.used]} if self.kind in ("sam", "sam_hq") else {}
        (logits,) = self.images.post_process_masks(
            [low[None].float().cpu()], [view.native], **sizes, binarize=False
        )  # (1, C, H, W)
        return np.asarray(logits[0].numpy())


def load_segmenter(files: SamFiles, device: str) -> Segmenter:
    """Load a model for single frames. The last one stays in memory, for all threads: it takes up to 2.6 GB.

    Raises:
        WeightsMissing: the files are damaged, or lack weights of the model.
    """
    with load_lock:
        return _load_segmenter(files, device)


@lru_cache(maxsize=1)
def _load_segmenter(files: SamFiles, device: str) -> Segmenter:
    model, processor = load_parts(files, *_CLASSES[files.kind], device)
    return Segmenter(files.kind, model, processor.image_processor, device)


def load_parts(files: SamFiles, model: str, processor: str, device: str | torch.device) -> tuple[Any, Any]:
    """Load a model and its processor by the names of their classes in transformers, from files of this machine.

    Raises:
        WeightsMissing: the files are damaged, or lack weights of the model.
    """
    import transformers  # here, since it takes seconds and is optional

    from_files = {"local_files_only": True}
    with load_lock, _quiet():
        try:
            prepared = getattr(transformers, processor).from_pretrained(files.folder, **from_files)
            network, found = getattr(transformers, model).from_pretrained(
                files.folder, output_loading_info=True, dtype=torch.float32, **from_files
            )
        except Exception as error:  # of transformers, safetensors or torch: whichever meets the damage first
            raise _damaged(files, in_short(error)) from error
    lacking = sorted([*found["missing_keys"], *(str(item) for item in found["mismatched_keys"])])
    if lacking:  # transformers would leave them random
        raise _damaged(files, f"no fitting weights for {lacking[0]} and {len(lacking) - 1} more")
    return network.to(device).eval().requires_grad_(False), prepared


def _damaged(files: SamFiles, why: str) -> WeightsMissing:
    return WeightsMissing(
        f"sam.model={files.name}",
        megabytes=None,
        looked_in=files.folder,
        why=f"the files there do not fit: {why}",
        remedies=[
            "get them again, whole: hf download NAME --force-download",
            "or name another model with --sam",
        ],
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and notes off the terminal."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
