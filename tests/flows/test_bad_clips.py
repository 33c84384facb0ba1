"""One bad clip never stops the others, and the run says briefly what is wrong with each and in which file."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from motion_adapt.flows.cli.app import app
from tests.conftest import folder_from
from tests.flows.conftest import Home, make_home

AWKWARD = "été sequence [1] (ünï日本)"
# Words in the reason for which a clip is set aside, while the other clips continue.
SET_ASIDE = {
    "truncated-jpeg": ["00002.jpg", "cut short"],
    "zero-byte-frame": ["00003.jpg", "empty"],
    "text-as-jpeg": ["00001.jpg"],
    "one-frame": ["at least two frames"],
    "mixed-sizes": ["00002.jpg", "128x72", "160x90"],
    "empty": ["no frames in"],
    "listed-but-absent": ["2016/val"],
    "folder-as-frame": ["00002.jpg"],
    "dangling": ["00001.jpg"],
    "tiny-frames": ["00000.jpg", "16x9", "at least 16 pixels"],
}
UNSCORED = {
    "zero-byte-mask": ["00001.png", "empty"],
    "mask-other-size": ["00000.png", "80x45", "160x90"],
    "no-annotations": ["there is no folder"],
    "two-frames": ["no annotated frame to score"],
    AWKWARD: ["there is no folder"],
    "bad%FF%FEname": ["there is no folder"],
}
WARNED = {
    "numbering-gap": ["00001.jpg", "00004.jpg"],
    "mask-missing": ["00003.png"],
    "mask-extra": ["00009.png"],
    "mask-grey-levels": ["grey levels"],
}
ODD = ("cmyk-frame", "png16-frames")  # processed and scored like any other clip


@dataclass(frozen=True)
class Run:
    """The result of a command: its exit status, output and files."""

    result: Result
    report: dict[str, Any]
    output: Path


def run(home: Home, command: list[str], output: Path | None = None) -> Run:
    report, output = home.path / "report.json", output or home.output
    options = [*home.options(), "--json", str(report), "--output", str(output)]
    # No clip is bad for these stages.
    for stage in ("clip_network", "smoothing", "edges"):
        options += ["--set", f"{stage}.enabled=false"]
    result = CliRunner().invoke(app, [*command, *options])
    return Run(result, json.loads(report.read_text()) if report.exists() else {}, output)


@pytest.fixture(scope="module")
def bad(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: None, smoke_weights: Path, empty_database: Path
) -> Home:
    """Run on the awkward clips, and on some that a repository cannot contain."""
    source = folder_from("MOTION_ADAPT_DATA") / "bad"
    home = make_home(tmp_path_factory.mktemp("bad"), smoke_weights, source, empty_database)
    for folder in (home.clips, *home.clips.rglob("*")):
        folder.chmod(0o755)
    clips = home.clips / "JPEGImages" / "480p"
    names = [AWKWARD, "folder-as-frame", "dangling", os.fsdecode(b"bad\xff\xfename")]
    for name in names:
        shutil.copytree(clips / "good", clips / name)
    for name, frame in (("folder-as-frame", "00002.jpg"), ("dangling", "00001.jpg")):
        (clips / name / frame).unlink()
    (clips / "folder-as-frame" / "00002.jpg").mkdir()
    (clips / "dangling" / "00001.jpg").symlink_to("nowhere")
    with (home.clips / "ImageSets" / "2016" / "val.txt").open("a", errors="surrogateescape") as split:
        split.writelines(f"{name}\n" for name in names)
    return home


@pytest.fixture(scope="module")
def whole(bad: Home) -> Run:
    return run(bad, ["adapt", str(bad.clips), "--split", "2016/val", "--rounds", "0"])


def test_the_run_succeeds_without_a_traceback(whole: Run) -> None:
    assert whole.result.exit_code == 0, whole.result.output
    assert "Traceback" not in whole.result.output
    assert "unexpected" not in whole.result.output
    assert "NoneType" not in whole.result.output


def test_every_clip_of_the_split_is_processed_or_set_aside(bad: Home, whole: Run) -> None:
    listed = {
        line.strip()
        for line in (bad.clips / "ImageSets/2016/val.txt").read_text(errors="replace").split("\n")
    }
    assert len(whole.report["clips"]) + len(whole.report["set_aside"]) == len(listed - {""})
    assert set(whole.report["set_aside"]) == set(SET_ASIDE)


@pytest.mark.parametrize("clip", SET_ASIDE)
def test_a_bad_clip_is_set_aside_for_a_reason_that_names_the_file(whole: Run, clip: str) -> None:
    why = whole.report["set_aside"][clip]
    assert all(part in why for part in SET_ASIDE[clip]), why
    assert f"set aside {clip}: {why}" in whole.result.output
    assert clip not in whole.report["clips"]
    assert not list(whole.output.rglob(f"*{clip}*"))


@pytest.mark.parametrize("clip", ODD)
def test_a_clip_of_an_unusual_format_is_processed(whole: Run, clip: str) -> None:
    assert 0 <= whole.report["clips"][clip]["J"] <= 1
    assert len(list((whole.output / "masks" / clip).glob("*.png"))) == whole.report["clips"][clip]["frames"]


@pytest.mark.parametrize("clip", UNSCORED)
def test_a_clip_with_unusable_annotations_is_segmented_and_unscored(whole: Run, clip: str) -> None:
    assert "J" not in whole.report["clips"][clip]
    assert clip in whole.report["unscored"]
    told = [text for text in whole.report["warnings"] if clip in text]
    assert any(all(part in text for part in UNSCORED[clip]) for text in told), told


@pytest.mark.parametrize("clip", WARNED)
def test_a_doubtful_clip_is_processed_with_a_warning_that_names_the_file(whole: Run, clip: str) -> None:
    assert 0 <= whole.report["clips"][clip]["J"] <= 1
    told = [text for text in whole.report["warnings"] if clip in text]
    assert any(all(part in text for part in WARNED[clip]) for text in told), told


def test_only_clips_without_usable_annotations_are_unscored(whole: Run) -> None:
    assert set(whole.report["unscored"]) == set(UNSCORED)
    for name, clip in whole.report["clips"].items():
        if name not in whole.report["unscored"]:
            assert all(0 <= clip[score] <= 1 for score in ("J", "F", "J_matched")), name


def test_results_keep_the_frames_names_and_sizes(whole: Run) -> None:
    def masks(clip: str) -> list[str]:
        return sorted(path.stem for path in (whole.output / "masks" / clip).iterdir())

    def size(clip: str) -> tuple[int, int]:
        with Image.open(next((whole.output / "masks" / clip).iterdir())) as image:
            return image.size

    assert masks("starts-at-one") == [f"{number:05d}" for number in range(1, 6)]
    assert masks("numbering-gap") == ["00000", "00001", "00004", "00005"]
    assert set(masks("unsorted-names")) == {"frame_1", "frame_2", "frame_9", "frame_10", "frame_11"}
    assert size("odd-size") == (131, 77)
    assert size("exif-rotated") == (160, 90)
    assert (whole.output / "overlays" / f"{AWKWARD}.mp4").is_file()


@pytest.mark.parametrize(
    "said",
    [
        lambda run: "one-frame" in run.report["set_aside"],
        lambda run: "leaves the data folder; refused" in run.report["set_aside"]["../../../outside"],
        lambda run: list(run.report["clips"]) == ["good"],
    ],
)
def test_a_messy_split_is_read_and_a_name_that_leaves_the_folder_refused(
    messy: Run, said: Callable[[Run], bool]
) -> None:
    assert said(messy)


@pytest.fixture(scope="module")
def messy(bad: Home) -> Run:
    made = run(bad, ["segment", str(bad.clips), "--split", "2016/messy", "--strict"])
    assert made.result.exit_code == 1  # strict: clips were set aside
    return made


def test_videos_that_do_not_decode_are_set_aside(bad: Home) -> None:
    # Results of its own: the other source has a clip named "good" too.
    made = run(bad, ["segment", str(bad.clips / "videos")], bad.path / "out-videos")
    assert made.result.exit_code == 0
    assert made.report["clips"]["good"]["frames"] == 8
    names = {"one-frame", "truncated", "no-moov", "zero-byte", "text", "corrupted"}
    assert set(made.report["set_aside"]) == names
    assert "at least two frames" in made.report["set_aside"]["one-frame"]
    assert "damaged at frame 0" in made.report["set_aside"]["corrupted"]
    assert "Traceback" not in made.result.output
