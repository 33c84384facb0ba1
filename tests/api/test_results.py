"""Masks, tables and pictures of results that are on disk already; nothing runs."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import motion_adapt
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.storage.formats.masks import write_masks

ODD = "a %3Cb%3E"  # a clip of a folder "a <b>"
LABELS = np.stack([np.full((20, 30), value, np.uint8) for value in (0, 1, 2)])
CLIPS = {
    ODD: {"frames": 3, "quality": 0.5, "alarms": ["its masks jump"]},
    "tram": {"frames": 3, "quality": 0.25, "alarms": []},
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of two clips, and of a third that an earlier run left."""
    for name in (*CLIPS, "earlier"):
        write_masks(tmp_path / "masks", name, ["00", "01", "02"], LABELS)
        for folder in ("strips", "overlays"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.zeros((400, 1600, 3), np.uint8)).save(tmp_path / "strips" / f"{name}.png")
    return tmp_path


def report(results: Path) -> Report:
    return Report("segment", "videos", clips=dict(CLIPS), set_aside={"bad": "<empty>"}, output=str(results))


def test_masks_are_those_of_the_run_and_read_when_asked_for(results: Path) -> None:
    masks = motion_adapt.Segmentation(report(results)).masks
    assert list(masks) == [ODD, "tram"]
    assert masks["tram"].dtype == np.uint8 and np.array_equal(masks["tram"], LABELS)
    assert masks.frame_names("tram") == ("00", "01", "02")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(results / "masks" / "tram" / "01.png")
    frames = masks.frames("tram")
    assert np.array_equal(next(frames), LABELS[0])
    with pytest.raises(ValueError, match=r"01\.png"):
        next(frames)
    with pytest.raises(KeyError, match="there are a %3Cb%3E, tram"):
        masks["earlier"]


def test_masks_are_loaded_from_results_or_from_the_folder_itself(results: Path) -> None:
    for folder in (results, results / "masks", str(results)):
        loaded = motion_adapt.load_masks(folder)
        assert list(loaded) == [ODD, "earlier", "tram"]
        assert np.array_equal(loaded["earlier"], LABELS)
    assert list(motion_adapt.load_masks(results, clips=["tram"])) == ["tram"]
    assert list(motion_adapt.load_masks(results, clips=[])) == []
    (results / "masks" / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no frames"):
        motion_adapt.load_masks(results)


def test_figures_are_a_table_and_warnings_stand_beside_it(results: Path) -> None:
    result = motion_adapt.Segmentation(report(results))
    assert result.clips.index.name == "clip"
    assert result.clips["quality"].to_dict() == {ODD: 0.5, "tram": 0.25}
    assert result.clips["alarms"].to_dict() == {ODD: "its masks jump", "tram": ""}
    assert result.set_aside == {"bad": "<empty>"} and result.warnings == []


def test_a_notebook_shows_tables_and_small_strips(results: Path) -> None:
    result = motion_adapt.Segmentation(report(results))
    page = result._repr_html_()
    assert "&lt;empty&gt;" in page and "<empty>" not in page
    assert page.count("<img ") == 2
    picture = result.strips["tram"]
    assert picture._repr_png_() == (results / "strips" / "tram.png").read_bytes()
    assert picture.array.shape == (400, 1600, 3)
    with Image.open(io.BytesIO(picture.small())) as small:
        assert (small.format, small.width) == ("JPEG", 960)


def test_a_clip_without_pictures_is_shown_without_them(results: Path) -> None:
    (results / "strips" / "tram.png").unlink()
    result = motion_adapt.Segmentation(report(results))
    assert list(result.strips) == [ODD] and result.overlays == {}
    assert result._repr_html_().count("<img ") == 1


def test_rounds_are_a_table_and_the_kept_one_is_named(results: Path) -> None:
    told = report(results)
    told.final = {"round": 0}
    told.mlflow = {"uri": "sqlite:///mlflow.db", "experiment": "videos", "run": "1"}
    for index, decision in enumerate(("keep", "roll_back")):
        told.rounds.append(
            {
                "round": index,
                "metrics": {"quality": 0.5 - 0.1 * index, "seconds_per_frame/flow": 0.1},
                "decision": decision,
                "reasons": ["quality fell"] * index,
                "weights": {},
                "registered_version": index + 1,
            }
        )
    result = motion_adapt.Adaptation(told)
    assert result.rounds["quality"].to_dict() == {0: 0.5, 1: 0.4}
    assert result.rounds.loc[1, "reasons"] == "quality fell"
    assert (result.kept, result.experiment) == (0, "videos")
    assert "roll_back" in result._repr_html_()
    assert "seconds_per_frame" not in result._repr_html_()


def test_whether_a_clip_has_masks_is_known_without_reading_them(results: Path) -> None:
    masks = motion_adapt.load_masks(results)
    (results / "masks" / "tram" / "01.png").write_bytes(b"")
    assert "tram" in masks and "heron" not in masks


def test_masks_that_are_not_read_as_they_are_stored_warn(tmp_path: Path) -> None:
    (tmp_path / "tram").mkdir()
    Image.fromarray(LABELS[1] * np.uint8(80)).save(tmp_path / "tram" / "00.png")
    with pytest.warns(UserWarning, match=r"masks of tram: 00\.png has the value 80"):
        motion_adapt.load_masks(tmp_path)["tram"]


@pytest.mark.filterwarnings("ignore:masks of tram")
def test_masks_on_another_background_than_black_are_read_if_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "tram").mkdir()
    purple = np.full((20, 30, 3), (128, 0, 128), np.uint8)
    purple[5:15, 5:15] = (250, 50, 83)
    for index in range(3):
        Image.fromarray(purple).save(tmp_path / "tram" / f"{index:02d}.png")
    with pytest.raises(ValueError, match="mask_background=border"):
        motion_adapt.load_masks(tmp_path)["tram"]
    assert motion_adapt.load_masks(tmp_path, background="border")["tram"].sum() == 300
    scores = motion_adapt.evaluate(tmp_path, tmp_path, background="border")
    assert scores.clips.loc["tram", "J"] == 1
