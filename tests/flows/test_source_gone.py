"""A source goes away during a run: stages that need native frames say so, and everything else is served."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from motion_adapt.flows import segment as segment_module
from motion_adapt.flows.rounds import rounds
from motion_adapt.flows.rounds.final_masks import finish_clips
from motion_adapt.flows.rounds.results import export_clips
from motion_adapt.flows.rounds.state import ByClip
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import FRAMES, PLAIN, Home, enlarge

CLIP = "heron"
WITH_EDGES = PLAIN.model_copy(update={"edges": PLAIN.edges.model_copy(update={"enabled": True})})


def keeping_copies(settings: Settings) -> Settings:
    return settings.model_copy(update={"frames": settings.frames.model_copy(update={"keep": "native"})})


@pytest.fixture
def vanishing(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a home in which one clip's folder is deleted just before its pictures are drawn."""

    def gone_by_then(*arguments: object) -> list[Path]:
        shutil.rmtree(home.clips / "JPEGImages" / "480p" / CLIP)
        return export_clips(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(segment_module, "export_clips", gone_by_then)
    return home


def test_masks_are_written_without_pictures(vanishing: Home) -> None:
    overlay = vanishing.output / "overlays" / f"{CLIP}.mp4"
    report = vanishing.segment(settings=PLAIN)
    assert len(list((vanishing.output / "masks" / CLIP).glob("*.png"))) == FRAMES
    assert not overlay.exists() and (vanishing.output / "overlays" / "tram [raw].mp4").exists()
    assert CLIP in report.clips and not report.set_aside
    assert [text for text in report.warnings if text.startswith(f"{CLIP}: ") and "frames.keep=native" in text]
    assert not list(vanishing.store.manifests("native-frames"))


def test_small_frames_are_not_read_again_for_edges_that_they_do_not_show(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("native frames are read")

    monkeypatch.setattr("motion_adapt.tasks.final_masks.native_frames", refuse)
    assert set(home.segment(settings=WITH_EDGES).clips) == {CLIP, "tram [raw]"}


@pytest.fixture
def gone_before_the_end(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a home in which one clip's folder, of larger frames, is deleted just before its final masks."""
    enlarge(home, CLIP)

    def gone_by_then(*arguments: Any) -> ByClip:
        shutil.rmtree(home.clips / "JPEGImages" / "480p" / CLIP)
        return finish_clips(*arguments)

    monkeypatch.setattr(rounds, "finish_clips", gone_by_then)
    return home


def test_without_native_frames_a_clip_has_no_final_masks_and_is_set_aside(gone_before_the_end: Home) -> None:
    home = gone_before_the_end
    report = home.segment(settings=WITH_EDGES)
    assert set(report.clips) == {"tram [raw]"} and set(report.set_aside) == {CLIP}
    assert "does not exist" in report.set_aside[CLIP] and "frames.keep=native" in report.set_aside[CLIP]
    assert not (home.output / "masks" / CLIP).exists()


def test_final_masks_are_made_from_copies_in_the_store(gone_before_the_end: Home) -> None:
    home = gone_before_the_end
    report = home.segment(settings=keeping_copies(WITH_EDGES))
    assert set(report.clips) == {CLIP, "tram [raw]"} and not report.set_aside
    assert len(list((home.output / "masks" / CLIP).glob("*.png"))) == FRAMES


def test_with_copies_in_the_store_nothing_is_missing(vanishing: Home) -> None:
    report = vanishing.segment(settings=keeping_copies(PLAIN))
    assert (vanishing.output / "overlays" / f"{CLIP}.mp4").exists()
    assert not [text for text in report.warnings if "frames.keep" in text]
    assert report.stages["native-frames"]["computed"] == 2
