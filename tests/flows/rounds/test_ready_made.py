"""Ready-made flow or masks that fit no clip are refused before any work; a clip that lacks them keeps its results."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from motion_adapt.flows.rounds.by_hand import find_by_hand
from motion_adapt.flows.rounds.materials import open_run
from motion_adapt.flows.rounds.ready_made import require_flow, require_masks, require_proposals
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.presets import load_settings
from motion_adapt.flows.run.run import Run
from motion_adapt.storage.formats.flo import write_flo
from motion_adapt.storage.formats.masks import write_masks
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import Home
from tests.storage.media import save_frames, save_video

FRAMES = ("0", "1", "2", "3")
VIDEO = tuple(f"{index:05d}" for index in range(4))
CLIPS = {"heron": FRAMES, "tram": FRAMES, "cam": VIDEO}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run over two folders of frames and a video."""
    for clip in ("heron", "tram"):
        save_frames(tmp_path / "clips" / clip, [f"{name}.png" for name in FRAMES])
    save_video(tmp_path / "clips" / "cam.mp4")
    return open_run(str(tmp_path / "clips"), Place(store=str(tmp_path / "store")))


def flow(folder: Path, *clips: str, gap: int = 1) -> Path:
    for clip in clips:
        for name in CLIPS[clip]:
            write_flo(folder / f"Flows_gap{gap}" / clip / f"{name}.flo", np.ones((4, 6, 2), np.float32))
    return folder


def masks(folder: Path, *clips: str) -> Path:
    for clip in clips:
        write_masks(folder, clip, CLIPS[clip], [np.ones((36, 64), np.uint8)] * 4)
    return folder


def with_flow(folder: Path, *overrides: str) -> Settings:
    return load_settings(overrides=["flow.estimator=flo", f"flow.folder={folder}", *overrides])


def with_proposals(folder: Path) -> Settings:
    return load_settings(overrides=[f"proposal.folder={folder}"])


FLOW: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "an empty folder": (lambda root: root, ["wanted Flows_gap1/cam/<frame>.flo, found nothing"]),
    "one level too high": (
        lambda root: flow(root / "flow", "heron").parent,
        ["found flow", "did you mean {root}/flow?"],
    ),
    "one level too low": (
        lambda root: flow(root / "flow", "heron") / "Flows_gap1",
        ["found heron", "did you mean {root}/flow?"],
    ),
    "two levels too low": (
        lambda root: flow(root / "flow", "heron") / "Flows_gap1" / "heron",
        ["found 0.flo, 1.flo, 2.flo and 1 more", "did you mean {root}/flow?"],
    ),
    "another gap": (
        lambda root: flow(root, "heron", "tram", gap=2),
        ["set gaps.inference to a gap that is there (2)"],
    ),
    "a gap backwards": (lambda root: flow(root, "heron", gap=-3), ["found Flows_gap-3", "that is there (3)"]),
    "other frames": (
        lambda root: (write_flo(root / "Flows_gap1" / "cam" / "a.txt", np.ones((4, 6, 2), np.float32)), root)[
            1
        ],
        ["found a.txt in Flows_gap1/cam"],
    ),
}


@pytest.mark.parametrize("kind", FLOW)
def test_flow_of_no_clip_is_refused(run: Run, tmp_path: Path, kind: str) -> None:
    make, told = FLOW[kind]
    (root := tmp_path / "given").mkdir()
    with pytest.raises(RunError) as error:
        require_flow(run, with_flow(make(root)), None)
    for text in (*told, "flow.folder: ", "fits none of the run's clips"):
        assert text.format(root=root) in str(error.value)
    assert len(run.clips) == 3 and not run.set_aside


PROPOSALS: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "an empty folder": (lambda root: root, ["wanted cam/<frame>.png, found nothing"]),
    "one level too high": (lambda root: masks(root / "masks", "tram").parent, ["did you mean {root}/masks?"]),
    "one level too low": (
        lambda root: masks(root / "masks", "tram") / "tram",
        ["did you mean {root}/masks?"],
    ),
}


@pytest.mark.parametrize("kind", PROPOSALS)
def test_proposals_of_no_clip_are_refused(run: Run, tmp_path: Path, kind: str) -> None:
    make, told = PROPOSALS[kind]
    (root := tmp_path / "given").mkdir()
    folder = make(root)
    with pytest.raises(RunError) as error:
        require_proposals(run, with_proposals(folder), None)
    for text in (*told, "proposal.folder: "):
        assert text.format(root=root) in str(error.value)
    with pytest.raises(RunError, match=r"masks: .* fits none"):
        require_masks(run, "take masks", "masks", folder)


def test_masks_of_some_frames_are_refused_with_the_first_that_lacks(run: Run, tmp_path: Path) -> None:
    del run.clips["cam"]
    folder = masks(tmp_path / "masks", "heron", "tram")
    for clip in run.clips:
        (folder / clip / "2.png").unlink()
    with pytest.raises(
        RunError, match=r"fits none of the run's clips: .*heron/2.png is missing: every frame needs"
    ):
        require_proposals(run, with_proposals(folder), None)


def test_what_is_there_passes_and_clips_that_lack_it_are_set_aside(run: Run, tmp_path: Path) -> None:
    settings = with_flow(flow(flow(tmp_path, "heron"), "cam", gap=-1))
    require_flow(run, settings, None)
    assert list(run.set_aside) == ["tram"] and run.set_aside["tram"].startswith(
        "flow: no flow for gap 1: neither"
    )
    (masks(tmp_path / "masks", "heron", "cam") / "heron" / "3.png").unlink()
    require_proposals(run, with_proposals(tmp_path / "masks"), None)
    assert "3.png is missing: every frame needs a mask" in run.set_aside["heron"]
    assert list(run.clips) == ["cam"]


def test_clips_too_short_for_the_gap_use_a_smaller_one(run: Run, tmp_path: Path) -> None:
    require_flow(run, with_flow(flow(tmp_path, "heron", "tram", "cam", gap=2), "gaps.inference=3"), None)
    assert not run.set_aside  # four frames have no gap of 3


def test_an_empty_folder_of_masks_by_hand_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "given" / "heron").mkdir(parents=True)
    settings = load_settings(overrides=[f"selection.given={tmp_path / 'given'}"])
    with pytest.raises(RunError, match=r"selection.given: .*given has no masks: wanted cam/<frame>.png"):
        find_by_hand(run, settings, all_clips=True)


def test_earlier_results_stay_if_ready_made_flow_lacks_for_all_or_some(home: Home) -> None:
    clips = ("heron", "tram [raw]")
    for clip in clips:
        (home.output / "masks" / clip).mkdir(parents=True)
        (home.output / "masks" / clip / "00000.png").write_bytes(b"of an earlier run")
    (home.path / "flow").mkdir()
    with pytest.raises(RunError, match=r"flow\.folder: .* found nothing"):
        home.segment(settings=with_flow(home.path / "flow"))
    assert not home.store.names("frames") and not (home.output / "earlier").exists()
    run = open_run(str(home.clips), home.place)
    run.put_aside("heron", "flow", ValueError("no flow"), keep_results=True)
    run.export_to(home.output)
    run.put_aside("tram [raw]", "flow", ValueError("no flow"), keep_results=True)
    assert not (home.output / "earlier").exists()
    assert run.warnings == [
        f"{clip}: this run has no results for it; those of an earlier run stay in {home.output}"
        for clip in clips
    ]
