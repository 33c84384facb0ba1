"""Each kind of fault is introduced into a correct copy of a benchmark, and `verify` names it with its path."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.checks.findings import KINDS, Finding
from motion_adapt.storage.checks.verify import clips_to_verify, verify_clip, verify_list
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import open_frames
from motion_adapt.storage.formats.label_rules import davis_palette
from tests.storage.copies import EVALUATED, MAKERS, SIZE, frame_of, labels_of, make, save, white
from tests.storage.media import save_video

DOG = Path("JPEGImages/480p/dog")
DOG_MASKS = Path("Annotations/480p/dog")
FISH = Path("Annotations_unsupervised/480p/gold-fish")
YTVOS = Path("train/Annotations/0a275e7f12")


def findings(root: Path, name: str | None) -> list[Finding]:
    """Return all findings except the clips that a copy never has."""
    clips = clips_to_verify(root, dataset=name)
    found = verify_list(clips, root)
    for clip in clips.clips:
        found += verify_clip(clip, clips.annotations, clips.data_set)
    never = (
        set() if name is None else {clip for clip in clips.data_set.evaluated if clip not in EVALUATED[name]}
    )  # type: ignore[union-attr]
    return [item for item in found if item.clip not in never]


@pytest.mark.parametrize(
    ("file", "codec"), [("walk.avi", "mpeg4"), ("walk.mkv", "libx264"), ("walk.webm", "libvpx")]
)
def test_a_video_that_ends_early_is_a_fault_in_the_words_of_a_run(
    tmp_path: Path, file: str, codec: str
) -> None:
    path = save_video(tmp_path / file, count=60, codec=codec)
    assert findings(path, None) == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    frames = open_frames(find_clips(path).clips[0])
    assert sum(1 for _ in frames) < 60
    (found,) = findings(path, None)
    assert (found.kind, found.path, found.fault) == ("ends early", str(path), True)
    assert [f"walk: {found.text}"] == frames.warnings


def test_how_own_annotations_are_read_is_told_once(tmp_path: Path) -> None:
    for index in range(3):
        save(tmp_path / "JPEGImages/480p/walk" / f"{index}.png", frame_of(labels_of(index, 2)))
        save(tmp_path / "Annotations/480p/walk" / f"{index}.png", labels_of(index, 2) * 120)
    (found,) = findings(tmp_path, None)
    assert (found.kind, found.fault, Path(found.path).name) == ("mask values", False, "0.png")
    assert "has the grey levels 120, 240; the clip's are taken as objects 1 to 2" in found.text


def test_frames_that_a_run_refuses_are_faults(tmp_path: Path) -> None:
    for index in range(2):
        (tmp_path / "walk").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((36, 64), np.int32)).save(tmp_path / "walk" / f"{index}.tif")
    assert {(item.kind, item.fault) for item in findings(tmp_path / "walk", None)} == {
        ("undecodable frame", True)
    }


def edit_table(root: Path, old: str, new: str) -> None:
    table = root / "annotations.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))


def shifted(labels: np.ndarray) -> np.ndarray:
    """Replace the first object by another one."""
    return np.where(labels == 1, 2, labels).astype(np.uint8)


def only_fifth(root: Path) -> None:
    for path in (root / "train_all_frames" / "JPEGImages" / "0a275e7f12").iterdir():
        if int(path.stem) % 5:
            path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def narrow(path: Path) -> None:
    save(path, frame_of(labels_of(0, 1, (40, 60))))


# Per case: the benchmark, how to damage it, the kind of finding, the end of its path, words, whether it is a fault.
CASES: dict[str, tuple[str, Callable[[Path], object], str, str, str, bool]] = {
    "a clip is not there": (
        "DAVIS2016", lambda root: shutil.rmtree(root / DOG), "missing clip", "dog", "DAVIS2016 val", True,
    ),
    "a clip without frames": (
        "DAVIS2016", lambda root: [path.unlink() for path in (root / DOG).iterdir()],
        "unusable clip", "dog", "no frames", True,
    ),
    "two files for a frame": (
        "DAVIS2016", lambda root: save(root / DOG / "00003.png", frame_of(labels_of(0, 1))),
        "unusable clip", "dog", "00003.jpg and 00003.png", True,
    ),
    "a frame that is cut short": (
        "DAVIS2016", lambda root: cut(root / DOG / "00003.jpg"), "undecodable frame", "dog/00003.jpg", "damaged", True,
    ),
    "an empty frame": (
        "FBMS-59", lambda root: (root / "Testset/tennis/tennis004.jpg").write_bytes(b""),
        "undecodable frame", "tennis/tennis004.jpg", "zero bytes", True,
    ),
    "a frame of another size": (
        "DAVIS2016", lambda root: narrow(root / DOG / "00003.jpg"), "frame size", "dog/00003.jpg", "60x40", True,
    ),
    "a gap in the numbers": (
        "FBMS-59", lambda root: (root / "Testset/tennis/tennis004.jpg").unlink(),
        "missing frames", "tennis", "between tennis003.jpg and tennis005.jpg", True,
    ),
    "no folder of annotations": (
        "DAVIS2016", lambda root: shutil.rmtree(root / DOG_MASKS),
        "missing annotations", "Annotations/480p/dog", "No such file", True,
    ),
    "annotations of other names": (
        "FBMS-59", lambda root: [
            path.rename(path.with_name(f"tennis{900 + index}.pgm"))
            for index, path in enumerate(sorted((root / "Testset/tennis/GroundTruth").iterdir()))
        ],
        "missing annotations", "tennis/GroundTruth", "named like a frame", True,
    ),
    "a frame without annotation": (
        "DAVIS2016", lambda root: (root / DOG_MASKS / "00003.png").unlink(),
        "frame without annotation", "dog/00003.png", "no annotation", True,
    ),
    "a fifth frame without annotation": (
        "YouTubeVOS2018-motion", lambda root: (root / YTVOS / "00005.png").unlink(),
        "frame without annotation", "0a275e7f12/00005.png", "no annotation", True,
    ),
    "an object without a layer": (
        "SegTrackv2", lambda root: (root / "GroundTruth/bmx/2/bmx_00020.bmp").unlink(),
        "frame without annotation", "bmx/1/bmx_00020.png", "1 of the clip's 2 objects", True,
    ),
    "an annotation without its frame": (
        "DAVIS2016", lambda root: save(root / DOG_MASKS / "00099.png", white(labels_of(0, 1))),
        "annotation without frame", "dog/00099.png", "no frame 00099", True,
    ),
    "an annotation that is cut short": (
        "DAVIS2017-motion", lambda root: (root / FISH / "00002.png").write_bytes(b"PNG"),
        "undecodable annotation", "gold-fish/00002.png", "not a picture", True,
    ),
    "a table that is none": (
        "MoCA", lambda root: edit_table(root, "file_list", "files"),
        "undecodable annotation", "annotations.csv", "no columns", True,
    ),
    "an annotation of another size": (
        "DAVIS2016", lambda root: save(root / DOG_MASKS / "00002.png", white(labels_of(2, 1, (20, 32)))),
        "annotation size", "dog/00002.png", "is 32x20, its frame 64x40", True,
    ),
    "a layer of another size": (
        "SegTrackv2", lambda root: save(
            root / "GroundTruth/birdfall/birdfall_00020.png", white(labels_of(2, 1, (20, 32)))
        ),
        "annotation size", "birdfall/birdfall_00020.png", "is 32x20", True,
    ),
    "a layer that is cut short": (
        "SegTrackv2", lambda root: (root / "GroundTruth/bmx/2/bmx_00020.bmp").write_bytes(b"BM"),
        "undecodable annotation", "bmx/1/bmx_00020.png", "(object 2) is", True,
    ),
    "a box outside of the frame": (
        "MoCA", lambda root: edit_table(root, "[2,4,2,6,6]", "[2,400,2,6,6]"), "box", "annotations.csv", "00000", True,
    ),
    "a label that the palette does not have": (
        "DAVIS2017-motion", lambda root: save(root / FISH / "00002.png", labels_of(2, 6), davis_palette()),
        "label", "gold-fish/00002.png", "label 6; DAVIS2017-motion has 1 to 5", True,
    ),
    "a colour that the palette does not have": (
        "YouTubeVOS2018-motion", lambda root: save(root / YTVOS / "00005.png", frame_of(labels_of(1, 1))),
        "label", "0a275e7f12/00005.png", "has the colour", True,
    ),
    "objects where there is one foreground": (
        "DAVIS2016", lambda root: save(root / DOG_MASKS / "00002.png", labels_of(2, 3), davis_palette()),
        "label", "dog/00002.png", "label 3; DAVIS2016 has one foreground", True,
    ),
    "smoothed edges": (
        "DAVIS2016", lambda root: save(root / DOG_MASKS / "00002.png", labels_of(2, 1) * 130),
        "label", "dog/00002.png", "grey levels", True,
    ),
    "no object anywhere": (
        "DAVIS2016", lambda root: [save(path, 0 * white(labels_of(0, 1))) for path in (root / DOG_MASKS).iterdir()],
        "no object", "Annotations/480p/dog", "in any annotated frame", True,
    ),
    "no object in the first annotated frame": (
        "YouTubeVOS2018-motion", lambda root: save(root / YTVOS / "00000.png", labels_of(0, 0), davis_palette()),
        "no object", "Annotations/0a275e7f12", "cannot be scored", True,
    ),
    "another data set's masks": (
        "DAVIS2017-motion",
        lambda root: [
            save(path, labels_of(int(path.stem), 4), davis_palette()) for path in (root / FISH).iterdir()
        ],
        "object count", "gold-fish", "has 4 objects, DAVIS2017-motion has 5", True,
    ),
    "an object that comes later": (
        "YouTubeVOS2018-motion", lambda root: save(root / YTVOS / "00010.png", labels_of(10, 3), davis_palette()),
        "later object", "0a275e7f12/00010.png", "object 3 is first seen here", False,
    ),
    "every fifth frame alone": (
        "YouTubeVOS2018-motion", only_fifth, "every fifth frame", "0a275e7f12", "train_all_frames", False,
    ),
    "two resolutions": (
        "DAVIS2016", lambda root: save(root / "JPEGImages/1080p/dog/00000.jpg", frame_of(labels_of(0, 1))),
        "layout", "DAVIS2016", "480p is used", False,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(name, tmp_path_factory.mktemp("sound") / name) for name in MAKERS}


@pytest.mark.parametrize("name", MAKERS)
def test_a_correct_copy_has_no_findings_except_missing_clips(sound: dict[str, Path], name: str) -> None:
    assert not findings(sound[name], name)
    clips = clips_to_verify(sound[name])
    listed = verify_list(clips, sound[name])
    assert {item.kind for item in listed} == {"missing clip"}
    assert clips.data_set is not None
    assert len(listed) == len(clips.data_set.evaluated) - len(EVALUATED[name])


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_named_with_its_path_and_nothing_else_is_found(
    sound: dict[str, Path], tmp_path: Path, case: str
) -> None:
    name, spoil, kind, path, words, fault = CASES[case]
    root = tmp_path / name
    shutil.copytree(sound[name], root)
    spoil(root)
    found = findings(root, name)
    assert {item.kind for item in found} == {kind}, found
    (item,) = found if len(found) == 1 else [item for item in found if item.path.endswith(path)][:1]
    assert item.path.endswith(path) and words in item.text
    assert item.fault is fault


def test_too_few_and_too_small_frames(tmp_path: Path) -> None:
    root = make("DAVIS2016", tmp_path)
    for index in range(1, 8):
        (root / DOG / f"{index:05d}.jpg").unlink()
        (root / DOG_MASKS / f"{index:05d}.png").unlink()
        small = labels_of(index, 1, (12, 64))
        save(root / "JPEGImages/480p/blackswan" / f"{index:05d}.jpg", frame_of(small))
        save(root / "Annotations/480p/blackswan" / f"{index:05d}.png", white(small))
    small = labels_of(0, 1, (12, 64))
    save(root / "JPEGImages/480p/blackswan/00000.jpg", frame_of(small))
    save(root / "Annotations/480p/blackswan/00000.png", white(small))
    found = {item.kind: item for item in findings(root, "DAVIS2016")}
    assert set(found) == {"too few frames", "frame size"}
    assert (
        "each side needs at least 16 pixels" in found["frame size"].text
        and found["too few frames"].clip == "dog"
    )


def test_every_kind_of_finding_has_a_case() -> None:
    """The kinds missing here have separate tests: above, and in the tests of the flow."""
    made = {kind for _, _, kind, *_ in CASES.values()}
    assert set(KINDS) - made == {
        "too few frames",
        "ends early",
        "mask values",
        "hardly any motion",
        "slow motion",
        "skipped",
    }


def test_a_benchmark_without_annotations_says_so(tmp_path: Path) -> None:
    root = make("DAVIS2016", tmp_path)
    shutil.rmtree(root / "Annotations")
    assert {(item.kind, item.clip) for item in findings(root, "DAVIS2016")} == {
        ("missing annotations", "dog"), ("missing annotations", "blackswan"),
    }  # fmt: skip


def test_faults_that_may_be_intended_in_own_clips_are_warnings(tmp_path: Path) -> None:
    root = make("DAVIS2016", tmp_path)
    (root / DOG).rename(root / DOG.parent / "my-dog")
    (root / DOG_MASKS).rename(root / DOG_MASKS.parent / "my-dog")
    (root / DOG_MASKS.parent / "my-dog" / "00003.png").unlink()
    (root / "JPEGImages/480p/bear/00004.jpg").unlink()
    (root / "Annotations/480p/bear/00002.png").write_bytes(b"")
    found = {(item.kind, item.clip): item.fault for item in findings(root, None)}
    assert found == {
        ("frame without annotation", "my-dog"): False, ("missing frames", "bear"): False,
        ("annotation without frame", "bear"): False, ("undecodable annotation", "bear"): True,
    }  # fmt: skip


def test_other_splits_are_checked_when_they_are_asked_for(tmp_path: Path) -> None:
    root = make("DAVIS2016", tmp_path)
    assert [clip.name for clip in clips_to_verify(root, split="train").clips] == ["bear"]
    missing = verify_list(clips_to_verify(root, split="train"), root, "train")
    assert len(missing) == 29 and {item.kind for item in missing} == {"missing clip"}
    assert len(find_clips(root).clips) == 3


def test_sizes_may_differ_from_clip_to_clip(sound: dict[str, Path]) -> None:
    sizes = {clip.name for clip in find_clips(sound["SegTrackv2"]).clips}
    assert sizes == {"birdfall", "bmx"} and SIZE != (48, 72)
