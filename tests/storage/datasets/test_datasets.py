"""Every benchmark loads from the folders of its download, and is recognised by its clips' names."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from motion_adapt.storage.clips.find_clips import benchmark, find_clips
from motion_adapt.storage.clips.videos import open_frames
from motion_adapt.storage.datasets.catalogue import DAVIS_COLOURS, data_set, data_sets
from motion_adapt.storage.datasets.layouts import lay_out
from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.label_rules import davis_palette
from motion_adapt.storage.labels.annotations import AnnotationError, Annotations, open_annotations
from motion_adapt.storage.labels.truth import due, read_boxes
from tests.storage.copies import EVALUATED, FRAMES, MAKERS, SIZE, labels_of, make, save
from tests.storage.media import save_frames


def labels_in(root: Path, name: str, clip: str, *, dataset: str | None = None) -> Annotations:
    found = find_clips(root, only=[clip], dataset=dataset or name)
    (found_clip,) = found.clips
    assert found.annotations is not None
    frames = list(open_frames(found_clip))
    names = found_clip.frame_names(len(frames))
    return open_annotations(
        found.annotations, found_clip, names, size=frames[0].shape[:2], data_set=found.data_set
    )


def test_the_lists_are_the_official_ones() -> None:
    assert {name: len(known.evaluated) for name, known in data_sets().items()} == {
        "DAVIS2016": 20, "DAVIS2017-motion": 30, "YouTubeVOS2018-motion": 120, "SegTrackv2": 14, "FBMS-59": 30,
        "MoCA": 88,
    }  # fmt: skip
    davis = data_set("DAVIS2017-motion")
    assert sum(davis.objects.values()) == 44 and set(davis.objects) == set(davis.evaluated)
    for known in data_sets().values():
        listed = [name for clips in known.splits.values() for name in clips]
        assert len(listed) == len(set(listed))
        assert pickle.loads(pickle.dumps(known)) == known  # it is sent to workers


def test_colours_and_gaps_are_the_papers() -> None:
    assert [tuple(row) for row in davis_palette()[:6].tolist()] == list(DAVIS_COLOURS)
    gaps = {name: known.gaps[0] for name, known in data_sets().items()}
    assert [name for name, gap in gaps.items() if gap == 3] == ["YouTubeVOS2018-motion", "FBMS-59"]
    assert all(known.gaps[0] != known.gaps[1] for known in data_sets().values())


@pytest.mark.parametrize(
    ("said", "name"),
    [("davis17m", "DAVIS2017-motion"), ("DAVIS16", "DAVIS2016"), ("YTVOS18-m", "YouTubeVOS2018-motion"),
     ("stv2", "SegTrackv2"), ("FBMS59", "FBMS-59"), ("fbms", "FBMS-59"), ("moca", "MoCA")],
)  # fmt: skip
def test_short_names_are_accepted(said: str, name: str) -> None:
    assert data_set(said).name == name


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no data set 'SegTrack'; .*did you mean SegTrackv2"):
        data_set("SegTrack")


@pytest.mark.parametrize("name", MAKERS)
def test_a_copy_is_recognised_and_its_evaluated_clips_load(tmp_path: Path, name: str) -> None:
    root = make(name, tmp_path)
    assert benchmark(root) is data_sets()[name]
    found = find_clips(root, dataset=name)
    assert sorted(clip.name for clip in found.clips) == sorted(EVALUATED[name])
    assert not found.set_aside
    (text,) = found.warnings
    assert f"{name} {data_sets()[name].split} has" in text
    for clip, count in EVALUATED[name].items():
        labels = labels_in(root, name, clip)
        assert len(labels.frames) == count
        assert not labels.warnings
        for _, read in labels:
            assert read.max() > 0


@pytest.mark.parametrize("name", MAKERS)
def test_annotations_change_nothing_but_scores(tmp_path: Path, name: str) -> None:
    """The benchmark recognised, and the clips and frames found, must not depend on labels, which may be deleted."""
    root = make(name, tmp_path)
    before = find_clips(root)
    for path in [*tmp_path.rglob("Annotations*"), *tmp_path.rglob("GroundTruth")]:
        if path.is_dir():
            shutil.rmtree(path)
    (tmp_path / "annotations.csv").unlink(missing_ok=True)
    after = find_clips(root)
    assert (after.clips, after.data_set) == (before.clips, before.data_set)


@pytest.mark.parametrize(
    ("name", "clip", "objects"),
    [("DAVIS2016", "dog", 1), ("DAVIS2017-motion", "gold-fish", 5), ("YouTubeVOS2018-motion", "0a275e7f12", 2),
     ("SegTrackv2", "birdfall", 1), ("MoCA", "crab", 1)],
)  # fmt: skip
def test_labels_are_read_as_they_were_written(tmp_path: Path, name: str, clip: str, objects: int) -> None:
    labels = labels_in(make(name, tmp_path), name, clip)
    for frame, read in labels:
        index = int(frame.split("_")[-1]) - (18 if name == "SegTrackv2" else 0)
        np.testing.assert_array_equal(read, labels_of(index, objects))


def test_one_folder_per_object(tmp_path: Path) -> None:
    labels = labels_in(make("SegTrackv2", tmp_path), "SegTrackv2", "bmx")
    np.testing.assert_array_equal(labels.read("bmx_00020"), labels_of(2, 2, (48, 72)))


def test_an_object_without_a_picture_leaves_the_others_their_labels(tmp_path: Path) -> None:
    root = make("SegTrackv2", tmp_path)
    whole = labels_in(root, "SegTrackv2", "bmx").read("bmx_00020")
    [picture] = (root / "GroundTruth" / "bmx" / "1").glob("bmx_00020.*")
    picture.unlink()
    labels = labels_in(root, "SegTrackv2", "bmx")
    np.testing.assert_array_equal(labels.read("bmx_00020") == 2, whole == 2)
    assert set(np.unique(labels.read("bmx_00020"))) == {0, 2}


@pytest.mark.parametrize(("clip", "frame"), [("camel01", "camel01_0006"), ("tennis", "tennis006")])
def test_regions_of_any_colour_or_grey_are_one_foreground(tmp_path: Path, clip: str, frame: str) -> None:
    labels = labels_in(make("FBMS-59", tmp_path), "FBMS-59", clip)
    np.testing.assert_array_equal(labels.read(frame), labels_of(5, 2) > 0)


def test_regions_of_one_clip_have_a_threshold_of_their_own(tmp_path: Path) -> None:
    for clip in ("marple2", "marple4"):
        save_frames(tmp_path / "Testset" / clip, [f"{clip}_{index:02d}.png" for index in range(2)])
        for index in range(2):
            truth = tmp_path / "Testset" / clip / "GroundTruth" / f"{clip}_{index:02d}.pgm"
            save(truth, np.full((36, 64), 90, np.uint8))
    assert labels_in(tmp_path, "FBMS-59", "marple2").read("marple2_00").max() == 0
    assert labels_in(tmp_path, "FBMS-59", "marple4").read("marple4_00").max() == 1


def test_masks_in_colours_are_read_by_the_data_sets_palette(tmp_path: Path) -> None:
    root = make("YouTubeVOS2018-motion", tmp_path)
    path = root / "train" / "Annotations" / "0a275e7f12" / "00005.png"
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[:4], rgb[4:8] = (236, 95, 103), (249, 145, 87)
    save(path, rgb)
    read = labels_in(root, "YouTubeVOS2018-motion", "0a275e7f12").read("00005")
    assert (read[0, 0], read[5, 0], read[9, 0]) == (1, 2, 0)
    rgb[20] = (1, 2, 3)
    save(path, rgb)
    with pytest.raises(
        AnnotationError,
        match=r"00005.png has the colour \(1, 2, 3\), which none of its data set's labels has",
    ):
        labels_in(root, "YouTubeVOS2018-motion", "0a275e7f12").read("00005")


def test_every_fifth_frame_is_due_between_the_first_and_the_last(tmp_path: Path) -> None:
    known = data_set("YTVOS18-m")
    frames = [f"{index:05d}" for index in range(30)]
    assert due(frames, ["00005", "00020"], known) == ["00005", "00010", "00015", "00020"]
    assert due(frames, [], known) == [] and due(frames, ["00003"], data_set("FBMS")) == []
    assert due(frames, ["00003"], None) == frames


def test_all_frames_are_preferred_over_every_fifth(tmp_path: Path) -> None:
    root = make("YouTubeVOS2018-motion", tmp_path)
    for index in (0, 5, 10):
        save_frames(root / "train" / "JPEGImages" / "0a275e7f12", [f"{index:05d}.jpg"])
    (clip,) = find_clips(root, only=["0a275e7f12"]).clips
    assert len(clip.files) == FRAMES + 3
    shutil.rmtree(root / "train_all_frames")
    (clip,) = find_clips(root, only=["0a275e7f12"]).clips
    assert len(clip.files) == 3


def test_other_common_layouts_load_too(tmp_path: Path) -> None:
    for name, clip in (("FBMS-59", "camel01"), ("SegTrackv2", "bmx"), ("MoCA", "crab")):
        root = tmp_path / name
        save_frames(root / "JPEGImages" / clip, ["00001.jpg", "00002.jpg"], height=40)
        save(root / "Annotations" / clip / "00001.png", labels_of(0, 1) * 255)
        assert labels_in(root, name, clip).read("00001").max() == 1
    part = make("FBMS-59", tmp_path / "raw") / "Testset"
    assert [clip.name for clip in find_clips(part).clips] == ["camel01", "tennis"]
    assert labels_in(part, "FBMS-59", "tennis").frames == ("tennis001", "tennis006")


def test_boxes_as_their_makers_export_them(tmp_path: Path) -> None:
    table = tmp_path / "annotations.csv"
    table.write_text(
        "# Exported\n# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
        '"1_a","[""/crab/00003.jpg""]",0,"[]","[2,1.5,-2,10,8.25]","{""1"":""0""}"\n'
        '"1_b","[""/crab/00004.jpg""]",0,"[]","[]","{}"\n'
    )
    ((frame, box),) = read_boxes(table)["crab"].items()
    assert (frame, box.left, box.top, box.width, box.height) == ("00003", 1.5, -2.0, 10.0, 8.25)
    drawn = box.decode((20, 30))
    assert drawn[:8, 2:12].all() and drawn.sum() == 80
    table.write_text("a,b\n1,2\n")
    with pytest.raises(PictureError, match="no columns file_list"):
        read_boxes(table)
    table.write_text(',file_list,spatial_coordinates,metadata\n0,/crab/00000.jpg,"[2,1]",{}\n')
    with pytest.raises(PictureError, match="line 2 holds no box"):
        read_boxes(table)


def test_splits_come_from_the_lists_where_the_folder_has_none(tmp_path: Path) -> None:
    root = make("DAVIS2016", tmp_path)
    assert [clip.name for clip in find_clips(root, split="train").clips] == ["bear"]
    assert len(find_clips(root, split="all", dataset="DAVIS2016").clips) == 3
    # Recognised but not named: all clips of the folder, as for any source.
    assert len(find_clips(root).clips) == 3
    with pytest.raises(ValueError, match="there are: train, val"):
        find_clips(root, split="test")
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "val.txt").write_text("bear\n")
    assert [clip.name for clip in find_clips(root, split="val").clips] == ["bear"]


def test_own_clips_are_not_a_benchmark(tmp_path: Path) -> None:
    root = make("DAVIS2016", tmp_path)
    assert find_clips(root, dataset="none").data_set is None
    save_frames(root / "JPEGImages" / "480p" / "my-dog", ["0.png", "1.png"])
    assert find_clips(root).data_set is None
    save_frames(tmp_path / "videos" / "dog", ["0.png", "1.png"])
    assert benchmark(tmp_path / "videos") is None
    assert benchmark(tmp_path / "nothing") is None


def test_a_folder_that_is_not_the_named_benchmark(tmp_path: Path) -> None:
    save_frames(tmp_path / "Other" / "dog", ["0.png", "1.png"])
    with pytest.raises(ValueError, match="has no JPEGImages, where DAVIS2016 keeps its frames"):
        find_clips(tmp_path, dataset="DAVIS2016")
    with pytest.raises(ValueError, match="no Testset"):
        lay_out(tmp_path, data_set("FBMS-59"))
    save_frames(tmp_path / "JPEGImages" / "480p" / "cat", ["0.png", "1.png"])
    with pytest.raises(ValueError, match="no clip of DAVIS2016 val; --split all"):
        find_clips(tmp_path, dataset="DAVIS2016")


def test_the_rule_for_reading_labels_is_part_of_their_content(tmp_path: Path) -> None:
    """Scores are keyed by the annotations' content, which includes the rule by which a file is read."""
    root = make("DAVIS2017-motion", tmp_path)
    by_palette = labels_in(root, "DAVIS2017-motion", "judo")
    names = tuple(f"{index:05d}" for index in range(FRAMES))
    clip = find_clips(root, only=["judo"]).clips[0]
    masks = root / "Annotations_unsupervised" / "480p"
    by_index = open_annotations(masks, clip, names, size=SIZE)
    assert by_palette.content(names) != by_index.content(names)
    assert by_index.content(names) == open_annotations(masks, clip, names, size=SIZE).content(names)
