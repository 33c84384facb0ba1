"""With `export.fill`, the frames that --every leaves out have masks too; those of the frames it takes don't change."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.plan.plan import make_plan
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import FIELDS, Home
from tests.flows.test_by_hand import drawn, exported, save
from tests.flows.test_caching import computed
from tests.flows.test_shots import masks_in, three_shots


def settings_for(home: Home, **export: bool) -> Settings:
    """Every second frame of heron, whose third frame has a mask by hand."""
    given = home.path / "by hand"
    save(given / "heron" / "00002.png", drawn(1, 3))
    selection = {**FIELDS["selection"], "given": str(given)}
    return Settings.model_validate(
        FIELDS | {"selection": selection, "frames": {"every": 2}, "export": export}
    )


def test_frames_in_between_get_masks_and_the_others_keep_theirs(home: Home) -> None:
    folder = home.clips / "JPEGImages" / "480p" / "heron"
    home.segment(folder, settings=settings_for(home))
    before = exported(home)
    assert list(before) == ["00000", "00002", "00004"]
    filling = settings_for(home, fill=True)
    report = home.segment(folder, settings=filling)
    assert computed(report) == {"fill": 1}
    assert report.filled == {"heron": 2} and report.clips["heron"]["frames"] == 3
    assert "2, carried along" in report.provenance["masks in between"]
    filled = exported(home)
    assert list(filled) == ["00000", "00001", "00002", "00003", "00004"]
    for frame, labels in before.items():
        np.testing.assert_array_equal(filled[frame], labels)
    np.testing.assert_array_equal(filled["00002"], drawn(1, 3))
    assert filled["00001"].any() and filled["00003"].any()
    with av.open(str(home.output / "overlays" / "heron.mp4")) as video:
        assert len(list(video.decode(video=0))) == 5

    assert computed(home.segment(folder, settings=filling)) == {}
    plan = make_plan("segment", str(folder), filling, home.place, weights=str(home.weights))
    assert (plan.stages["fill"].stored, plan.stages["fill"].missing) == (1, 0)
    (made,) = home.store.manifests("fill")
    told = CliRunner().invoke(app, ["store", "explain", str(made.artifact), "--store", home.place.store])
    assert told.exit_code == 0 and "final" in told.output and "frames" in told.output

    # another picture between the same frames: masks in between are carried anew, and nothing else is
    (folder / "00001.jpg").write_bytes((folder / "00000.jpg").read_bytes())
    assert computed(home.segment(folder, settings=filling)) == {"fill": 1}
    # one that cannot be read: the clip has the masks of the frames that are taken
    (folder / "00001.jpg").write_bytes(b"no picture")
    report = home.segment(folder, settings=filling)
    assert any("heron" in text and "00001.jpg" in text for text in report.warnings)
    assert list(exported(home)) == ["00000", "00002", "00004"] and not report.filled


@pytest.mark.slow
def test_shots_are_filled_one_by_one(home: Home, tmp_path: Path) -> None:
    """Where between two shots the cut is, is not known: those frames get no mask."""
    video = three_shots(home.path / "in" / "film.mp4", moving=7, still=6)
    options = ["--every", "2", "--fill", "--json", str(tmp_path / "run.json"), *home.options()]
    planned = CliRunner().invoke(app, ["segment", str(video), "--plan", *options])
    assert planned.exit_code == 0 and "fill" in planned.output
    result = CliRunner().invoke(app, ["segment", str(video), *options])
    assert result.exit_code == 0, result.output
    wanted = [*range(7), *range(8, 13), *range(14, 19)]
    assert masks_in(home.output / "masks" / "film") == [f"{index:05d}.png" for index in wanted]
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["filled"] == {"film#01": 3, "film#02": 2, "film#03": 2}


@pytest.mark.slow
def test_an_adaptation_fills_too_and_scores_the_frames_it_takes(home: Home) -> None:
    taken = Settings.model_validate(FIELDS | {"frames": {"every": 2}, "export": {"fill": True}})
    report = home.adapt(settings=taken, rounds=0, clips=["heron"])
    assert list(exported(home)) == [f"{index:05d}" for index in range(5)]
    assert report.filled == {"heron": 2}
    assert report.clips["heron"]["frames"] == 3 and "J" in report.clips["heron"]
    assert "masks in between" in (home.output / "report.html").read_text()
