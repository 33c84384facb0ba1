"""The models of transformers get the tensors that their own processors would make, and answer at the frame's size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.models.sam.asking import PromptKind
from motion_adapt.models.sam.find_sam import find_sam
from motion_adapt.models.sam.prompts import Prompt, box_of, prompt_of
from motion_adapt.models.sam.segmenter import Segmenter, load_segmenter
from tests.needs import transformers
from tests.tiny_sams import KINDS, MASK_SIDE, SIDE

pytestmark = transformers
SIZE = (48, 96)


def a_frame() -> np.ndarray:
    frame = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    frame[12:24, 24:48] = 200, 30, 30
    return frame


def a_mask() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[12:24, 24:48] = True
    return mask


def segmenter(kind: str, tiny_sams: Any) -> Segmenter:
    return load_segmenter(find_sam(str(tiny_sams(kind))), "cpu")


@contextmanager
def watched(module: torch.nn.Module) -> Iterator[dict[str, Any]]:
    """What a module of the network is called with."""
    seen: dict[str, Any] = {}
    handle = module.register_forward_pre_hook(
        lambda _, args, kwargs: seen.update(kwargs, args=args), with_kwargs=True
    )
    yield seen
    handle.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_gets_what_its_own_processor_makes(kind: str, tiny_sams: Any) -> None:
    """The processors of transformers are tested against the reference implementations by their authors."""
    import transformers as tf

    ours = segmenter(kind, tiny_sams)
    frame, mask = a_frame(), a_mask()
    box, points = box_of(mask), np.array([[24, 12], [47, 23], [30, 20]], np.float32)
    theirs = {"sam": tf.SamProcessor, "sam_hq": tf.SamHQProcessor}.get(
        kind, tf.Sam2Processor
    ).from_pretrained(tiny_sams(kind))
    wanted = theirs(
        images=frame,
        input_points=[[points.tolist()]],
        input_labels=[[[1, 1, 1]]],
        input_boxes=[[box.tolist()]],
        return_tensors="pt",
    )
    with watched(ours.model.vision_encoder) as image:
        view = ours.look(frame)
    with watched(ours.model.prompt_encoder) as prompt:
        ours.answer(view, Prompt(points=points, box=box))
    pixels = image["args"][0] if image["args"] else image["pixel_values"]
    assert torch.equal(pixels, wanted["pixel_values"]) and pixels.shape == (1, 3, SIDE, SIDE)
    assert torch.allclose(prompt["input_points"], wanted["input_points"].reshape(1, 1, 3, 2).float())
    assert torch.equal(prompt["input_labels"], wanted["input_labels"].reshape(1, 1, 3))
    assert torch.allclose(prompt["input_boxes"], wanted["input_boxes"].reshape(1, 1, 4).float())
    assert prompt["input_masks"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_square_reaches_the_network_where_it_should(kind: str, tiny_sams: Any) -> None:
    """Rows 12 to 24 of 48 and columns 24 to 48 of 96: SAM keeps the shape and pads, SAM 2 stretches to a square."""
    ours = segmenter(kind, tiny_sams)
    with watched(ours.model.prompt_encoder) as prompt:
        ours.answer(ours.look(a_frame()), prompt_of(a_mask(), "mask+points", 8))
    assert prompt["input_points"].shape == (1, 1, 8, 2) and prompt["input_boxes"] is None
    points = prompt["input_points"][0, 0]
    high = SIDE // 2 if kind in ("sam", "sam_hq") else SIDE  # of the frame within the input
    assert (points[:, 0] >= SIDE / 4).all() and (points[:, 0] < SIDE / 2).all()
    assert (points[:, 1] >= high / 4).all() and (points[:, 1] < high / 2).all()
    logits = prompt["input_masks"]
    assert logits.shape == (1, 1, MASK_SIDE, MASK_SIDE)
    rows = slice(high // 16, high // 8)
    expected = torch.full((MASK_SIDE, MASK_SIDE), -10.0)
    expected[rows, MASK_SIDE // 4 : MASK_SIDE // 2] = 10
    assert torch.equal(logits[0, 0], expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", ["mask+points", "mask", "points", "box"])
def test_every_prompt_is_answered_at_the_size_of_the_frame(
    kind: str, asked: PromptKind, tiny_sams: Any
) -> None:
    ours = segmenter(kind, tiny_sams)
    view = ours.look(a_frame())
    one, score = ours.answer(view, prompt_of(a_mask(), asked, 5))
    three, scores = ours.answer(view, prompt_of(a_mask(), asked, 5), several=True)
    assert one.shape == (1, *SIZE) and score.shape == (1,) and one.dtype == np.float32
    assert three.shape == (3, *SIZE) and scores.shape == (3,)
    assert np.isfinite(three).all() and np.ptp(one) > 0
    again, _ = ours.answer(ours.look(a_frame()), prompt_of(a_mask(), asked, 5))
    assert np.array_equal(one, again)


@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_decides_the_answer(kind: str, tiny_sams: Any) -> None:
    ours = segmenter(kind, tiny_sams)
    view = ours.look(a_frame())
    here, _ = ours.answer(view, prompt_of(a_mask(), "mask", 5))
    there, _ = ours.answer(view, prompt_of(~a_mask(), "mask", 5))
    assert not np.allclose(here, there)


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_an_answer_loses_its_padding(kind: str, tiny_sams: Any) -> None:
    """Logits of the whole input, whose part within the frame is known, come back at the frame's size."""
    ours = segmenter(kind, tiny_sams)
    view = ours.look(a_frame())
    low = torch.full((1, MASK_SIDE, MASK_SIDE), -5.0)
    rows = MASK_SIDE // 2 if kind == "sam" else MASK_SIDE
    low[:, :rows, MASK_SIDE // 2 :] = 5.0  # the right half of the frame
    logits = ours.native_logits(low, view)
    assert (logits[0, : SIZE[0] - 3, SIZE[1] // 2 + 2 :] > 0).all()
    assert (logits[0, :, : SIZE[1] // 2 - 2] < 0).all()


def test_a_network_without_some_weights_is_not_used(tiny_sams: Any, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_sams("sam"), tmp_path / "cut")
    weights = load_file(folder / "model.safetensors")
    del weights["mask_decoder.iou_token.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsMissing, match=r"mask_decoder.iou_token.weight"):
        load_segmenter(find_sam(str(folder)), "cpu")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsMissing, match="do not fit"):
        load_segmenter(find_sam(str(folder)), "cpu")


def test_the_terminal_stays_quiet(tiny_sams: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import shutil

    folder = shutil.copytree(tiny_sams("sam2_video"), tmp_path / "another")
    capfd.readouterr()
    load_segmenter(find_sam(str(folder)), "cpu")
    assert capfd.readouterr() == ("", "")
