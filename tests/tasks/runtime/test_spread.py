"""Spans of frames are returned completely and in order, whichever process computed them."""

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from motion_adapt.models.inference.crf import refine_masks
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import content_digest, open_frames
from motion_adapt.storage.keys import Artifact, Recipe
from motion_adapt.tasks.crf_frames import refine_frames
from motion_adapt.tasks.frames import decode
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.spread import SPAN, in_spans
from tests import needs
from tests.storage.media import save_frames

FRAMES = 4 * SPAN + 1
H, W = 48, 80


def numbers_and_process(start: int, stop: int) -> np.ndarray:
    """Return the frames' numbers and the process id; later spans finish sooner."""
    time.sleep(0.3 / (1 + start))
    return np.stack([np.arange(start, stop), np.full(stop - start, os.getpid())], axis=1)


def collected(threads: int, frames: int = FRAMES, memory: int = 1) -> np.ndarray:
    return np.concatenate(list(in_spans(numbers_and_process, frames, threads=threads, memory=memory)))


@pytest.mark.parametrize("frames", [1, SPAN, SPAN + 1, FRAMES])
def test_alone(frames: int) -> None:
    rows = collected(1, frames)
    assert rows[:, 0].tolist() == list(range(frames))
    assert set(rows[:, 1]) == {os.getpid()}


def test_processes_of_this_machine() -> None:
    rows = collected(2)
    assert rows[:, 0].tolist() == list(range(FRAMES))
    assert len(set(rows[:, 1])) == 2 and os.getpid() not in rows[:, 1]


def test_without_memory_for_two_processes_one_does_the_work() -> None:
    assert set(collected(2, memory=2**62)[:, 1]) == {os.getpid()}


@pytest.mark.slow
def test_workers_of_the_cluster_that_the_task_runs_on() -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        rows = client.submit(collected, 1).result()
        workers = set(client.run(os.getpid).values())
    assert rows[:, 0].tolist() == list(range(FRAMES))
    assert set(rows[:, 1]) == workers


def fails(start: int, stop: int) -> np.ndarray:
    if start >= SPAN:
        raise ValueError(f"frame {start} is no good")
    return np.zeros(stop - start)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_span_that_fails_fails_the_clip(threads: int) -> None:
    with pytest.raises(ValueError, match=f"frame {SPAN} is no good"):
        list(in_spans(fails, FRAMES, threads=threads, memory=1))


def stored(store: ArtifactStore, name: str, rows: np.ndarray) -> Artifact:
    with store.write(Recipe(name, 1, {}, {}), "first", {}) as out:
        out.append(name, rows, [f"axis {n}" for n in range(rows.ndim)])
    return out.published


@needs.crf
def test_the_crf_of_a_clip_is_that_of_its_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save_frames(tmp_path / "walk", [f"{index:02d}.png" for index in range(FRAMES)], height=H, width=W)
    (clip,) = find_clips(tmp_path / "walk").clips
    native = np.stack(list(open_frames(clip)))
    probabilities = rng.random((FRAMES, 2, H // 2, W // 2)).astype(np.float16)
    place = Place(store=str(tmp_path / "store"), scratch=str(tmp_path / "scratch"), device="cpu", threads=1)
    frames = decode.make(content=content_digest(clip), limit=None, clip=clip, place=place)
    inputs = frames, clip, stored(place.open(), "probabilities", probabilities)
    wanted = np.stack([refine_masks(*pair, iterations=2) for pair in zip(native, probabilities, strict=True)])
    for threads in (1, 2):
        spans = in_spans(partial(refine_frames, place.store, *inputs, 2), FRAMES, threads=threads, memory=1)
        np.testing.assert_array_equal(np.concatenate(list(spans)), wanted)
