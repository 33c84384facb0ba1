"""Carry masks through a clip with SAM 2: some frames have prompts, and its memory finds the objects in the others.

Each object is carried by itself, from its first prompt to the end of the clip and back to the beginning. The memory has
all prompts of the clip, those before and those after a frame. This is what SAM 2's own video predictor does
(facebookresearch/sam2, `sam2_video_predictor.py`), but for three things: objects begin at their own first prompts,
frames are given one by one, and what is too far away to be looked up again is forgotten.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from motion_adapt.models.sam.find_sam import VIDEO, SamFiles, SamUnusable
from motion_adapt.models.sam.refine_masks import Refined, objects_of, settle
from motion_adapt.models.sam.segmenter import Segmenter, View, load_lock, load_parts

MOST_PROMPTS = (
    10  # per object and clip, as many as the paper's exemplars; each is in the memory of all other frames
)
Prompts = Mapping[int, Mapping[int, NDArray[np.bool_]]]  # masks bool (H, W) by object and frame


class Carrier:
    """SAM 2's video model with its processor. It keeps no state, so threads can share it."""

    def __init__(self, model: Any, processor: Any, device: str | torch.device) -> None:
        self.model, self.processor = model, processor
        # For sizes of frames and masks.
        self.frames = Segmenter(VIDEO, model, processor.image_processor, device)
        config = model.config
        # Frames that are looked up again.
        self.reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)


def load_carrier(files: SamFiles, device: str) -> Carrier:
    """Load SAM 2 for video. The last one stays in memory, for all threads.

    Raises:
        SamUnusable: the model is not SAM 2, or only its part for single images.
        WeightsMissing: the files are damaged, or lack weights of the model.
    """
    require_video(files)
    with load_lock:
        return _load_carrier(files, device)


def require_video(files: SamFiles) -> None:
    """Check that a model can carry masks through a video.

    Raises:
        SamUnusable: it cannot.
    """
    if files.kind != VIDEO:
        raise SamUnusable(
            f"sam.video=true needs SAM 2 with its memory, a model of the type '{VIDEO}' such as "
            f"facebook/sam2.1-hiera-large; {files.name} is of the type '{files.kind}'"
        )


@lru_cache(maxsize=1)
def _load_carrier(files: SamFiles, device: str) -> Carrier:
    return Carrier(*load_parts(files, "Sam2VideoModel", "Sam2VideoProcessor", device), device)


def choose_prompts(labels: NDArray[np.uint8], exemplars: NDArray[np.bool_]) -> Prompts:
    """Return the masks of each object at up to `MOST_PROMPTS` of its exemplar frames, evenly spread among them.

    Args:
        labels: u8 (T, H, W); k + 1 is object k.
        exemplars: bool (T, K). An exemplar frame without a mask of the object is none.
    """
    found: dict[int, dict[int, NDArray[np.bool_]]] = {}
    for k in range(exemplars.shape[1]):
        frames = [int(t) for t in np.flatnonzero(exemplars[:, k]) if (labels[t] == k + 1).any()]
        if frames:
            taken = np.linspace(0, len(frames) - 1, min(MOST_PROMPTS, len(frames))).round().astype(int)
            found[k + 1] = {frames[place]: labels[frames[place]] == k + 1 for place in taken}
    return found


def carry(
    carrier: Carrier,
    frames: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    exemplars: NDArray[np.bool_],
    least_iou: float,
) -> Iterator[Refined]:
    """Yield the masks of a stretch of frames, carried by SAM 2 from the exemplar frames.

    An object keeps its masks at the frames that prompt the model, where the model's has an IoU with it below
    `least_iou`, and everywhere if no exemplar frame shows it.

    Args:
        carrier: the model.
        frames: u8 (T, H, W, 3) RGB.
        labels: u8 (T, H, W), the masks so far; k + 1 is object k.
        exemplars: bool (T, K).
        least_iou: between 0 and 1.
    """
    prompts = choose_prompts(labels, exemplars)
    low = track(carrier, frames, prompts)
    side = carrier.frames.side
    size = (frames.shape[1], frames.shape[2])
    view = View({}, size, (side, side))
    for t, given in enumerate(labels):

        def answers(t: int = t, given: NDArray[np.uint8] = given) -> Iterator[tuple[int, Any]]:
            for label in sorted({*objects_of(given), *prompts}):
                carried = label in prompts and t not in prompts[label]
                logits = torch.from_numpy(low[label][[t]]) if carried else None
                yield label, None if logits is None else carrier.frames.native_logits(logits, view)[0]

        yield settle(given, answers(), least_iou)


@torch.inference_mode()
def track(
    carrier: Carrier, frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], prompts: Prompts
) -> dict[int, NDArray[np.float16]]:
    """Return SAM 2's logits of each object, f16 (T, h, w) at the size of the model's output.

    Args:
        carrier: the model.
        frames: u8 (H, W, 3) RGB each.
        prompts: masks by object and frame; every object has at least one.
    """
    sessions, found = {}, {}
    features = None
    for label in prompts:
        session = carrier.processor.init_video_session(
            inference_device=carrier.frames.device, video_storage_device=carrier.frames.device
        )
        session.video_height, session.video_width = frames[0].shape[:2]
        features = session.cache = features or session.cache  # a frame's features serve all objects
        sessions[label] = session
        low = carrier.frames.mask_side
        found[label] = np.zeros((len(frames), low, low), np.float16)
    first = {label: min(masks) for label, masks in prompts.items()}

    def step(t: int, labels: Sequence[int], *, reverse: bool) -> None:
        pixels = carrier.frames.pixels(frames[t]) if labels else None
        for label in labels:
            out = carrier.model(sessions[label], frame_idx=t, frame=pixels, reverse=reverse)
            found[label][t] = out.pred_masks[0, 0].float().cpu().numpy()
            _forget(sessions[label], t, first[label], carrier.reach)

    for t in sorted({t for masks in prompts.values() for t in masks}):
        here = [label for label, masks in prompts.items() if t in masks]
        for label in here:
            carrier.processor.add_inputs_to_inference_session(
                sessions[label], frame_idx=t, obj_ids=label, input_masks=prompts[label][t]
            )
        step(t, here, reverse=False)
    for t in range(min(first.values(), default=len(frames)), len(frames)):
        step(t, [label for label in prompts if t > first[label] and t not in prompts[label]], reverse=False)
    for t in reversed(range(max(first.values(), default=0))):
        step(t, [label for label in prompts if t < first[label]], reverse=True)
    return found


def _forget(session: Any, t: int, first: int, reach: int) -> None:
    """Drop what no later step looks up: the frame, masks at full size, and memories far from `t` and from `first`."""
    session.processed_frames.pop(t, None)
    for kept in session.output_dict_per_obj.values():
        for outputs in kept.values():
            for output in outputs.values():
                output.pop("high_res_masks", None)
        memories = kept["non_cond_frame_outputs"]
        for other in [other for other in memories if min(abs(other - t), abs(other - first)) > reach]:
            del memories[other]
