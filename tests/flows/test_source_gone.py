"""A source goes away during a run: stages that need native frames say so, and everything else is served."""

import shutil
from pathlib import Path

import pytest

from motion_adapt.flows import segment as segment_module
from motion_adapt.flows.rounds.results import export_clips
from tests.flows.conftest import FRAMES, PLAIN, Home

CLIP = "heron"


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
    settings = PLAIN.model_copy(update={"edges": PLAIN.edges.model_copy(update={"enabled": True})})

    def refuse(*_: object) -> None:
        raise AssertionError("native frames are read")

    monkeypatch.setattr("motion_adapt.tasks.final_masks.native_frames", refuse)
    assert set(home.segment(settings=settings).clips) == {CLIP, "tram [raw]"}


def test_with_copies_in_the_store_nothing_is_missing(vanishing: Home) -> None:
    settings = PLAIN.model_copy(update={"frames": PLAIN.frames.model_copy(update={"keep": "native"})})
    report = vanishing.segment(settings=settings)
    assert (vanishing.output / "overlays" / f"{CLIP}.mp4").exists()
    assert not [text for text in report.warnings if "frames.keep" in text]
    assert report.stages["native-frames"]["computed"] == 2
