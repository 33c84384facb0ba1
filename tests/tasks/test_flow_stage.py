"""The flow of all clips is estimated by one network, which is loaded once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from motion_adapt.models.inputs.flow_estimators import FlowEstimator, flow_estimator
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import content_digest
from motion_adapt.tasks import flow
from motion_adapt.tasks.frames import decode
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import FlowSettings


def test_an_estimator_is_loaded_once_per_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(name: str, **options: Any) -> FlowEstimator:
        made.append(name)
        return flow_estimator(name, **options)

    monkeypatch.setattr(flow, "flow_estimator", counted)
    flow.load_estimator.cache_clear()
    (tmp_path / "walk").mkdir()
    for level in range(3):
        Image.fromarray(np.full((32, 48, 3), level, np.uint8)).save(tmp_path / "walk" / f"{level}.png")
    (clip,) = find_clips(tmp_path / "walk").clips
    place = Place(store=str(tmp_path / "store"), scratch=str(tmp_path / "scratch"), device="cpu", threads=1)
    frames = decode.make(content=content_digest(clip), limit=None, clip=clip, place=place)

    def estimate(gap: int) -> None:
        options = {
            "settings": FlowSettings(),
            "flo": None,
            "folder": None,
            "names": ("0", "1", "2"),
            "clip": clip,
        }
        flow.estimate_flow.make(frames, gap=gap, **options, place=place)

    estimate(1)
    estimate(2)
    assert made == ["dis"]
    # Two threads cannot share RAFT, which stores its intermediate results in itself.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(estimate, 3).result()
    assert made == ["dis", "dis"]
