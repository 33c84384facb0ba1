"""Masks by hand come out as they went in, change their own clip alone, and are owned up to wherever they had a part."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import NothingLeft
from motion_adapt.models.networks.checkpoints import Checkpoint
from motion_adapt.models.networks.lineage import learnt_by_hand
from motion_adapt.storage.formats.label_rules import davis_palette
from motion_adapt.storage.registry import Registry
from motion_adapt.tasks.settings import SelectionSettings, Settings
from tests.flows.conftest import FIELDS, PLAIN, SIZE, Home
from tests.flows.test_caching import computed
from tests.storage.media import save_video

# The frames of heron are 00000 to 00004.
BY_HAND = {"00002": (1, 3), "00004": ()}


def drawn(*labels: int) -> np.ndarray:
    """A label map u8 (90, 160) with a square of each label: nothing that a network would make."""
    made = np.zeros(SIZE, np.uint8)
    for label in labels:
        made[10 * label : 10 * label + 37, 20 * label : 20 * label + 11] = label
    return made


def save(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    image.putpalette(davis_palette().tobytes())
    image.save(path)


def give(home: Home, **masks: dict[str, np.ndarray]) -> Settings:
    """Write masks by hand by clip and frame. Returns the settings of a run with them."""
    folder = home.path / "by hand"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for clip, frames in masks.items():
        for frame, labels in frames.items():
            save(folder / clip / f"{frame}.png", labels)
    return settings_with(folder)


def settings_with(folder: Path) -> Settings:
    return Settings.model_validate(FIELDS | {"selection": {**FIELDS["selection"], "given": str(folder)}})


def exported(home: Home, clip: str = "heron") -> dict[str, np.ndarray]:
    return {
        path.stem: np.array(Image.open(path)) for path in sorted((home.output / "masks" / clip).iterdir())
    }


def two_masks(home: Home) -> Settings:
    return give(home, heron={frame: drawn(*labels) for frame, labels in BY_HAND.items()})


def test_a_pruned_video_leaves_out_masks_of_its_later_frames(home: Home) -> None:
    videos = home.path / "videos"
    save_video(videos / "walk.mp4", count=12, height=SIZE[0], width=SIZE[1])
    settings = give(home, walk={frame: drawn(1) for frame in ("00002", "00010")})
    report = home.segment(videos, settings=settings, prune=1)
    assert report.set_aside == {} and report.by_hand == {"walk": ["00002"]}
    save(home.path / "by hand" / "walk" / "00012.png", drawn(1))
    with pytest.raises(NothingLeft) as stopped:
        home.segment(videos, settings=settings, prune=1)
    assert "00012.png is of no frame" in stopped.value.run.set_aside["walk"]


def test_masks_by_hand_come_out_bit_for_bit_and_other_clips_are_not_recomputed(again: Home) -> None:
    again.segment()
    old = exported(again)
    report = again.segment(settings=two_masks(again))
    new = exported(again)
    for frame, labels in BY_HAND.items():
        np.testing.assert_array_equal(new[frame], drawn(*labels))
    assert any((new[frame] != old[frame]).any() for frame in new if frame not in BY_HAND)
    assert set(computed(report).values()) == {1}, "only heron has masks by hand"
    assert not {"frames", "flow", "features", "proposal"} & set(computed(report))
    assert report.by_hand == {"heron": ["00002", "00004"]}
    assert report.provenance["labels"] == "this run has 2 masks by hand: its results are not label-free"
    # without them, the old result is in the store
    back = again.segment()
    assert computed(back) == {} and "labels" not in back.provenance
    assert all((mask == old[frame]).all() for frame, mask in exported(again).items())


@pytest.mark.slow
def test_only_the_masks_themselves_count(again: Home) -> None:
    settings = two_masks(again)
    again.segment(settings=settings)
    moved = again.path / "elsewhere"
    (again.path / "by hand").rename(moved)
    assert computed(again.segment(settings=settings_with(moved))) == {}
    save(moved / "heron" / "00004.png", drawn(2))
    assert computed(again.segment(settings=settings_with(moved)))["masks-by-hand"] == 1


def test_what_learnt_from_masks_by_hand_says_so(adapted: tuple[Home, Report], again: Home) -> None:
    home, label_free = adapted
    assert "by hand" not in label_free.champion
    chosen = two_masks(again).selection
    report = again.adapt(settings=PLAIN.model_copy(update={"selection": chosen}))
    tracker = again.tracker
    tags = tracker.get(report.mlflow["run"]).data.tags
    assert tags["masks_by_hand"] == "2"
    assert "masks_by_hand" not in home.tracker.get(label_free.mlflow["run"]).data.tags
    registry = Registry(tracker)
    for index, item in enumerate(report.rounds):
        version = tracker.client.get_model_version(registry.model, str(item["registered_version"]))
        assert version.tags["masks_by_hand"] == "2"
        corrector = taught(again, item["weights"]["corrector"])
        assert learnt_by_hand(corrector.settings) == (2 if index else 0)
    registry.promote(report.rounds[-1]["registered_version"])
    later = again.segment(weights=None, from_champion=True)
    assert later.provenance["labels"] == (
        "its start weights learnt from 2 masks by hand: its results are not label-free"
    )
    assert "the corrector learnt from 2 masks by hand: its results are not label-free" in later.warnings


def taught(home: Home, name: str | None) -> Checkpoint:
    from motion_adapt.tasks.checkpoints import get_checkpoint

    (manifest,) = [m for m in home.store.manifests() if str(m.artifact) == name]
    return get_checkpoint(home.place, manifest.artifact)


def wrong_size(home: Home) -> Settings:
    return give(home, heron={"00002": np.ones((20, 30), np.uint8)})


def too_many(home: Home) -> Settings:
    return give(home, heron={"00002": drawn(1, 3) + np.uint8(2) * (drawn(1, 3) == 3)})


def void(home: Home) -> Settings:
    return give(home, heron={"00002": np.where(drawn(1) == 1, 1, 255).astype(np.uint8)})


def no_frame(home: Home) -> Settings:
    return give(home, heron={"00008": drawn(1)})


def a_photo(home: Home) -> Settings:
    settings = two_masks(home)
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    Image.fromarray(noise).save(home.path / "by hand" / "heron" / "00002.png")
    return settings


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (wrong_size, "00002.png is 30x20, its frame is 160x90"),
        (too_many, "00002.png has object 5, and objects=3 allows 1 to 3"),
        (void, "00002.png has pixels of value 255"),
        (no_frame, "00008.png is of no frame that this run takes of the clip: 00000 to 00004"),
        (a_photo, "00002.png is one of the clip's masks, which have more than"),
    ],
)
def test_a_mask_that_cannot_be_used_sets_its_clip_aside(again: Home, wrong, why: str) -> None:
    report = again.segment(settings=wrong(again))
    assert why in report.set_aside["heron"]
    assert list(report.clips) == ["tram [raw]"]


def test_colours_and_16_bits_are_read_like_all_masks(again: Home) -> None:
    """What a paint program or an annotation tool makes of our own masks."""
    settings = two_masks(again)
    folder = again.path / "by hand" / "heron"
    Image.open(folder / "00002.png").convert("RGB").save(folder / "00002.png")
    Image.fromarray(drawn(2).astype(np.uint16)).save(folder / "00004.png")
    again.segment(settings=settings)
    np.testing.assert_array_equal(exported(again)["00002"], drawn(1, 3))
    np.testing.assert_array_equal(exported(again)["00004"], drawn(2))


def test_masks_of_no_clip_end_the_run_before_it_starts(again: Home) -> None:
    with pytest.raises(RunError, match=r"of no clip of the source; did you mean 'heron'\?"):
        again.segment(settings=give(again, herons={"00002": drawn(1)}))
    (again.path / "by hand" / "00002.png").touch()
    with pytest.raises(RunError, match="is no folder: wanted"):
        again.segment(settings=settings_with(again.path / "by hand"))
    # heron is there, but not in this run.
    report = again.segment(clips=["tram [raw]"], settings=give(again, heron={"00002": drawn(1)}))
    assert "masks by hand of heron are not used: these clips are not in the run" in report.warnings


def test_settings_without_masks_by_hand_are_as_before_there_were_any() -> None:
    assert "given" not in SelectionSettings().model_dump()
    assert SelectionSettings(given="masks").model_dump()["given"] == "masks"
    assert SelectionSettings.model_validate_json(SelectionSettings(given="x").model_dump_json()).given == "x"
