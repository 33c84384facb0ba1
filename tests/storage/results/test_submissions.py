"""Masks are written in each benchmark's layout and colours, at the size of the frames, and as COCO JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.mask import decode

from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.datasets.catalogue import data_set, data_sets
from motion_adapt.storage.formats.label_rules import davis_palette
from motion_adapt.storage.formats.masks import write_masks
from motion_adapt.storage.results.submissions import write_coco, write_submission
from tests.storage.copies import EVALUATED, SIZE, labels_of, make
from tests.storage.media import save_video

PLACES = {
    "DAVIS2016": "Results/Segmentations/480p/motion-adapt/dog",
    "DAVIS2017-motion": "judo",
    "YouTubeVOS2018-motion": "Annotations/0a275e7f12",
    "SegTrackv2": "bmx",
    "FBMS-59": "tennis",
    "MoCA": "crab/gap1",
}


def segmented(root: Path, masks: Path, name: str) -> dict[str, tuple[str, ...]]:
    """Write two objects in every frame of every clip, as a run does. Returns frame names by clip."""
    named = {}
    for clip in find_clips(root, dataset=name).clips:
        names = named[clip.name] = clip.frame_names(len(clip.files))
        with Image.open(clip.files[0]) as frame:
            size = frame.height, frame.width
        write_masks(masks, clip.name, names, (labels_of(index, 2, size) for index in range(len(names))))
    return named


@pytest.mark.parametrize("name", PLACES)
def test_each_layout(tmp_path: Path, name: str) -> None:
    root = make(name, tmp_path / "data")
    named = segmented(root, tmp_path / "masks", name)
    made = write_submission(tmp_path / "masks", tmp_path / "out", data_set(name), source=root)
    assert sorted(made.clips) == sorted(EVALUATED[name])
    assert set(made.missing) == set(data_set(name).evaluated) - set(EVALUATED[name])
    folder = tmp_path / "out" / PLACES[name]
    clip = folder.parent.name if name == "MoCA" else folder.name
    known = data_sets()[name]
    wanted = [f"{index:05d}" for index in range(8)] if name == "MoCA" else list(named[clip])
    if name == "YouTubeVOS2018-motion":
        wanted = ["00000", "00005", "00010"]
    assert sorted(path.stem for path in folder.iterdir()) == wanted
    with Image.open(folder / f"{wanted[1]}.png") as image:
        index = 5 if known.annotated == "fifth" else 1
        labels = labels_of(index, 2, (image.height, image.width))
        if known.multi_object:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.array(image), labels)
            np.testing.assert_array_equal(np.array(image.convert("RGB"))[labels == 2][0], known.colours[2])
        else:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.array(image), (labels > 0) * 255)


def test_labels_past_the_palette_keep_colours_that_differ(tmp_path: Path) -> None:
    write_masks(tmp_path / "masks", "0a275e7f12", ["00000"], [np.arange(21, dtype=np.uint8).reshape(3, 7)])
    write_submission(tmp_path / "masks", tmp_path / "out", data_set("YTVOS18-m"))
    with Image.open(tmp_path / "out/Annotations/0a275e7f12/00000.png") as image:
        colours = np.array(image.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) == 21
    np.testing.assert_array_equal(colours[6:], davis_palette()[6:21])


def test_what_does_not_fit_the_frames_is_refused_by_name(tmp_path: Path) -> None:
    root = make("DAVIS2016", tmp_path / "data")
    segmented(root, tmp_path / "masks", "DAVIS2016")
    known, out = data_set("DAVIS2016"), tmp_path / "out"
    mask = tmp_path / "masks" / "dog" / "00004.png"
    Image.fromarray(labels_of(4, 1, (20, 32))).save(mask)
    for write in (
        lambda: write_submission(tmp_path / "masks", out, known, source=root),
        lambda: write_coco(tmp_path / "masks", tmp_path / "all.json", source=root, dataset="DAVIS2016"),
    ):
        with pytest.raises(ValueError, match=r"dog/00004.png is 32x20, its frame is 64x40"):
            write()
    mask.unlink()
    with pytest.raises(ValueError, match=r"dog/00004.png or its frame does not exist"):
        write_submission(tmp_path / "masks", out, known, source=root)
    assert not (tmp_path / "all.json").exists() and not list(out.rglob("dog"))
    with pytest.raises(ValueError, match="no masks of any clip of SegTrackv2 test"):
        write_submission(tmp_path / "masks", out, data_set("SegTrackv2"))


def test_ids_that_the_evaluator_refuses_are_refused(tmp_path: Path) -> None:
    write_masks(tmp_path / "masks", "judo", ["00000", "00001"], [np.full((9, 9), 21, np.uint8)] * 2)
    with pytest.raises(ValueError, match=r"judo, 00000: wanted object ids up to 20, got 21"):
        write_submission(tmp_path / "masks", tmp_path / "out", data_set("DAVIS17-m"))
    assert not (tmp_path / "out" / "judo").exists()


def test_coco_says_which_object_is_where_in_which_frame(tmp_path: Path) -> None:
    root = make("FBMS-59", tmp_path / "data")
    named = segmented(root, tmp_path / "masks", "FBMS-59")
    made = write_coco(tmp_path / "masks", tmp_path / "all.json", source=root, dataset="FBMS-59")
    assert sorted(made.clips) == ["camel01", "tennis"]
    told = json.loads((tmp_path / "all.json").read_text())
    assert [video["name"] for video in told["videos"]] == ["camel01", "tennis"]
    assert len(told["images"]) == sum(map(len, named.values()))
    for entries in (told["images"], told["annotations"], told["videos"]):
        assert [entry["id"] for entry in entries] == list(range(1, len(entries) + 1))
    images = {image["id"]: image for image in told["images"]}
    assert images[1]["file_name"] == "camel01/camel01_0001.jpg"
    assert len(told["annotations"]) == 2 * len(images)
    for entry in told["annotations"]:
        image = images[entry["image_id"]]
        assert entry["segmentation"]["size"] == [image["height"], image["width"]] == list(SIZE)
        mask = decode(entry["segmentation"])
        np.testing.assert_array_equal(mask, labels_of(image["frame_index"], 2) == entry["track_id"])
        assert entry["area"] == mask.sum()
        left, top, width, height = entry["bbox"]
        assert mask[top : top + height, left : left + width].sum() == mask.sum()
        assert (width, height) == (6, 6) and entry["category_id"] == told["categories"][0]["id"]


def test_the_folder_of_results_does_as_well_as_that_of_masks(tmp_path: Path) -> None:
    write_masks(tmp_path / "masks", "dog", ["00000"], [labels_of(0, 2)])
    save_video(tmp_path / "overlays" / "dog.mp4")
    assert write_coco(tmp_path, tmp_path / "all.json").clips == ("dog",)
    assert write_submission(tmp_path, tmp_path / "out", data_set("DAVIS2016")).clips == ("dog",)


def test_coco_codes_go_down_the_columns_background_first(tmp_path: Path) -> None:
    masks = [np.array([[0, 1, 1], [1, 1, 0]]), np.ones((3, 3)), np.ones((5, 5))]
    masks[2][1:, 1] = masks[2][0, 2] = 0  # columns: 11111 10000 01111 11111 11111
    for number, mask in enumerate(masks):
        write_masks(tmp_path / "masks", f"{number}", ["00000"], [mask.astype(np.uint8)])
    write_coco(tmp_path / "masks", tmp_path / "all.json")
    told = json.loads((tmp_path / "all.json").read_text())
    codes = [entry["segmentation"]["counts"] for entry in told["annotations"]]
    # Runs 1 4 1; 0 9; 0 6 5 14, of which 14 is stored as 14 - 6 = 8. A character is 48 + the number.
    assert codes == ["141", "09", "0658"]
    assert [entry["bbox"] for entry in told["annotations"]] == [[0, 0, 3, 2], [0, 0, 3, 3], [0, 0, 5, 5]]


def test_void_is_no_object_of_coco(tmp_path: Path) -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[0], labels[1] = 255, 3
    write_masks(tmp_path / "masks", "mine", ["00000"], [labels])
    write_coco(tmp_path / "masks", tmp_path / "all.json")
    told = json.loads((tmp_path / "all.json").read_text())
    assert [entry["track_id"] for entry in told["annotations"]] == [3]
    assert told["images"][0]["file_name"] == "mine/00000.jpg"


def test_masks_that_are_not_read_as_they_are_stored_are_noted(tmp_path: Path) -> None:
    (tmp_path / "masks" / "mine").mkdir(parents=True)
    Image.fromarray(np.eye(8, dtype=np.uint8) * np.uint8(80)).save(tmp_path / "masks" / "mine" / "00000.png")
    made = write_coco(tmp_path / "masks", tmp_path / "all.json")
    assert made.notes == ("masks of mine: 00000.png has the value 80, taken as the one object",)
