"""A video with cuts becomes a clip per shot, under its own frame numbers; --every, --start and --end take fewer."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.rounds.shots import join_shots
from motion_adapt.flows.run.errors import RunError
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.storage.clips.find_clips import Clip, find_clips
from motion_adapt.storage.clips.videos import content_digest, frame_rate, open_frames
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import FIELDS, PLAIN, SETTINGS, Home
from tests.flows.test_by_hand import drawn, save
from tests.flows.test_caching import computed
from tests.storage.media import save_video

SIZE = 90, 160


def with_fields(**fields: object) -> Settings:
    return Settings.model_validate({**PLAIN.model_dump(), **fields})


def three_shots(path: Path, *, moving: int = 5, still: int = 4) -> Path:
    """A video of `moving` frames that move, `still` of one picture, and `moving` that move."""
    supply = SyntheticClips(seed=7, frames=moving, size=SIZE)
    first, last = supply.make(0).rgb, supply.make(1).rgb
    unmoved = np.repeat(supply.make(2).rgb[:1], still, axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for frame in np.concatenate([first, unmoved, last]):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        container.mux(stream.encode(None))
    return path


def masks_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_three_shots_are_three_clips_with_the_videos_own_frame_numbers(home: Home) -> None:
    video = three_shots(home.path / "in" / "film.mp4")
    report = home.segment(video, settings=PLAIN)
    shots = ["film#01", "film#02", "film#03"]
    assert list(report.clips) == shots and report.shots == {"film": shots}
    told = "film has cuts and is split into 3 shots: 00000 to 00004, 00005 to 00008, 00009 to 00013"
    assert any(text.startswith(told) for text in report.warnings)
    assert "film#02" in report.still and "film#01" not in report.still
    assert masks_in(home.output / "masks" / "film") == [f"{index:05d}.png" for index in range(14)]
    assert masks_in(home.output / "masks" / "film#02") == [f"{index:05d}.png" for index in range(5, 9)]
    assert computed(home.segment(video, settings=PLAIN)) == {}
    # a mask by hand may be named after the video or after the shot
    given = home.path / "by hand"
    save(given / "film" / "00006.png", drawn(1))
    save(given / "film#03" / "00010.png", drawn(2))
    again = home.segment(video, settings=with_fields(selection={**FIELDS["selection"], "given": str(given)}))
    assert again.by_hand == {"film#02": ["00006"], "film#03": ["00010"]}
    assert set(computed(again).values()) == {2}, "the first shot has no mask by hand"
    part = home.segment(
        video, clips=["film"], settings=with_fields(selection={**FIELDS["selection"], "given": str(given)})
    )
    assert part.by_hand == again.by_hand and not [text for text in part.warnings if "are not used" in text]


@pytest.mark.slow
def test_without_splitting_a_video_stays_whole(home: Home) -> None:
    whole = home.segment(three_shots(home.path / "in" / "film.mp4"), settings=with_fields(shots="off"))
    assert list(whole.clips) == ["film"] and not whole.shots


def test_a_part_of_a_video_has_its_own_content_and_the_videos_numbers(tmp_path: Path) -> None:
    (whole,) = find_clips(save_video(tmp_path / "walk.mp4", count=12, height=48, width=80)).clips
    frames = list(open_frames(whole))
    part = whole.part(2, 11, 3)
    np.testing.assert_array_equal(np.stack(list(open_frames(part))), np.stack(frames[2:11:3]))
    assert part.frame_names(3) == ("00002", "00005", "00008")
    assert frame_rate(part) == pytest.approx(10 / 3)
    np.testing.assert_array_equal(np.stack(list(open_frames(part, limit=2))), np.stack(frames[2:8:3]))
    within = part.part(1)
    np.testing.assert_array_equal(np.stack(list(open_frames(within))), np.stack(frames[5:11:3]))
    assert len({content_digest(clip) for clip in (whole, part, within)}) == 3
    assert content_digest(whole.part()) == content_digest(whole)


def test_earlier_masks_of_a_videos_shots_that_are_moved_are_told(tmp_path: Path) -> None:
    clip, told = Clip("cam#01", tmp_path / "cam.mp4", "video", ()), list[str]()
    run: Any = SimpleNamespace(shots={"cam": [clip.name]}, clips={clip.name: clip}, warn=told.append)
    for content in ("before", "after"):
        (tmp_path / "masks" / clip.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "masks" / clip.name / "00000.png").write_text(content)
        materials: Any = SimpleNamespace(content={clip.name: content}, exported=lambda _: ["00000"])
        join_shots(run, materials, tmp_path)
    assert told == [f"cam: earlier results, not of these frames, were moved to {tmp_path / 'earlier'}"]


def test_frames_that_are_taken_keep_their_names(home: Home) -> None:
    folder = home.clips / "JPEGImages" / "480p" / "heron"
    taken = with_fields(frames={"start": 1, "end": 5, "every": 2})
    report = home.segment(folder, settings=taken)
    assert report.clips["heron"]["frames"] == 2
    assert masks_in(home.output / "masks" / "heron") == ["00001.png", "00003.png"]
    with pytest.raises(RunError, match=r"heron states no frames per second; use frames.every"):
        home.segment(folder, settings=with_fields(frames={"fps": 5}))


def test_the_options_are_short_for_settings(home: Home) -> None:
    video = save_video(home.path / "walk.mp4", count=9, height=48, width=80)
    options = ["--fps", "5", "--start", "1", "--end", "8"]
    result = CliRunner().invoke(app, ["segment", str(video), *options, *home.options()])
    assert result.exit_code == 0, result.output
    assert masks_in(home.output / "masks" / "walk") == ["00001.png", "00003.png", "00005.png", "00007.png"]
    assert SETTINGS.frames.every == 1
