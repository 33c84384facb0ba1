"""SAM 2 carries masks from exemplar frames in both directions, with a memory that does not grow with the clip."""

from typing import Any

import numpy as np
import pytest
import torch

from motion_adapt.models.sam import video
from motion_adapt.models.sam.find_sam import SamUnusable, find_sam
from motion_adapt.models.sam.video import MOST_PROMPTS, Carrier, carry, choose_prompts, load_carrier, track
from tests.needs import transformers

SIZE = (32, 48)


def a_clip(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two squares that move on noise; u8 frames and labels 1 and 2."""
    frames = np.random.default_rng(0).integers(0, 120, (count, *SIZE, 3)).astype(np.uint8)
    labels = np.zeros((count, *SIZE), np.uint8)
    for t in range(count):
        labels[t, 4:14, 2 + t : 14 + t] = 1
        labels[t, 16:30, 30 - t : 44 - t] = 2
        frames[t][labels[t] == 1] = 220, 30, 30
        frames[t][labels[t] == 2] = 30, 220, 30
    return frames, labels


def carrier(tiny_sams: Any) -> Carrier:
    return load_carrier(find_sam(str(tiny_sams("sam2_video"))), "cpu")


def exemplars_at(count: int, first: list[int], second: list[int]) -> np.ndarray:
    exemplars = np.zeros((count, 2), bool)
    exemplars[first, 0] = exemplars[second, 1] = True
    return exemplars


@transformers
@pytest.mark.parametrize("prompted", [[0], [5, 7], [9]])
def test_it_finds_what_the_model_finds_with_the_whole_video_in_memory(
    prompted: list[int], tiny_sams: Any
) -> None:
    """The reference: transformers' own propagation, forwards and then backwards from the first prompt."""
    ours = carrier(tiny_sams)
    frames, labels = a_clip(10)
    found = track(ours, frames, {1: {t: labels[t] == 1 for t in prompted}})[1]
    with torch.inference_mode():
        session = ours.processor.init_video_session(video=frames)
        for t in prompted:
            ours.processor.add_inputs_to_inference_session(
                session, frame_idx=t, obj_ids=1, input_masks=labels[t] == 1
            )
            ours.model(session, frame_idx=t)
        wanted = {}
        for reverse in (False, True):
            for out in ours.model.propagate_in_video_iterator(
                session, start_frame_idx=prompted[0], reverse=reverse
            ):
                wanted[out.frame_idx] = out.pred_masks[0, 0].numpy()
    assert sorted(wanted) == list(range(10))
    for t, expected in wanted.items():
        np.testing.assert_allclose(found[t], expected, rtol=2e-3, atol=2e-3, err_msg=f"frame {t}")


@transformers
def test_objects_that_were_carried_are_disjoint_and_prompts_stay(tiny_sams: Any) -> None:
    ours = carrier(tiny_sams)
    frames, labels = a_clip(6)
    exemplars = exemplars_at(6, [1], [4])
    made = list(carry(ours, frames, labels, exemplars, 0.0))
    assert [(item.asked, item.kept) for item in made] == [(2, 0), (1, 0), (2, 0), (2, 0), (1, 0), (2, 0)]
    again = list(carry(ours, frames, labels, exemplars, 0.0))
    for t, (item, other) in enumerate(zip(made, again, strict=True)):
        assert set(np.unique(item.labels)) <= {0, 1, 2} and np.array_equal(item.labels, other.labels), t
    assert ((made[1].labels == 1) | (made[1].labels == 2))[labels[1] == 1].all()
    guarded = list(carry(ours, frames, labels, exemplars, 1.0))
    assert np.array_equal([item.labels for item in guarded], labels)


@transformers
def test_an_object_that_no_exemplar_shows_keeps_its_masks(tiny_sams: Any) -> None:
    frames, labels = a_clip(4)
    labels[2][labels[2] == 2] = 0
    made = list(carry(carrier(tiny_sams), frames, labels, exemplars_at(4, [], [2]), 0.0))
    assert np.array_equal([item.labels for item in made], labels)
    assert {item.asked for item in made} == {0}


@transformers
def test_the_memory_does_not_grow_with_the_clip(tiny_sams: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = carrier(tiny_sams)
    frames, labels = a_clip(16)
    held, looked = [], []
    forget, pixels = video._forget, ours.frames.pixels

    def watch(session: Any, *args: Any) -> None:
        forget(session, *args)
        kept = session.output_dict_per_obj[0]
        assert not any("high_res_masks" in output for part in kept.values() for output in part.values())
        held.append((len(session.processed_frames), len(kept["non_cond_frame_outputs"])))
        looked.append(len(session.cache._vision_features))

    monkeypatch.setattr(video, "_forget", watch)
    counted: list[int] = []
    monkeypatch.setattr(ours.frames, "pixels", lambda frame: counted.append(1) or pixels(frame))
    track(ours, frames, {label: {8: labels[8] == label} for label in (1, 2)})
    assert len(counted) == 16  # once for both objects
    assert max(frames_ for frames_, _ in held) == 0 and max(looked) == 1
    assert ours.reach == 4 and max(memories for _, memories in held) <= 3 * ours.reach


def test_the_prompts_are_spread_over_the_exemplars() -> None:
    _, labels = a_clip(16)
    labels = np.tile(labels, (3, 1, 1))
    exemplars = np.ones((48, 2), bool)
    exemplars[:, 1] = False
    found = choose_prompts(labels, exemplars)
    assert set(found) == {1} and len(found[1]) == MOST_PROMPTS and {0, 47} <= set(found[1])
    assert all(np.array_equal(mask, labels[t] == 1) for t, mask in found[1].items())


@transformers
def test_only_sam_2_with_its_memory_carries(tiny_sams: Any) -> None:
    with pytest.raises(SamUnusable, match=r"sam2\.1-hiera"):
        load_carrier(find_sam(str(tiny_sams("sam"))), "cpu")
