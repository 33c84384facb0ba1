"""Synthetic clips as files: they match the generator, are found as a data set, and are written once."""

import cv2
import numpy as np
import pytest

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.synthesise import synthesise
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.formats.flo import read_flow_pairs
from motion_adapt.tasks.synthesis import SyntheticSet

MADE_OF = SyntheticSet(seed=5, frames=4, size=(64, 112), gaps=(1, 2))
pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "set"
    assert synthesise(str(root), 2, MADE_OF).final["clips"] == 2
    return root


def test_files_match_the_generator(folder):
    names = (folder / "ImageSets/synthetic.txt").read_text().split()
    frames = [f"{t:05d}" for t in range(4)]
    assert len(names) == 2
    assert {path.name for path in folder.glob("Flows_gap*")} == {f"Flows_gap{gap}" for gap in (-2, -1, 1, 2)}
    for index, name in enumerate(names):
        clip = MADE_OF.supply().make(index)
        assert name == f"{clip.num_objects}_{index:05d}"
        for gap in MADE_OF.gaps:
            pairs = list(read_flow_pairs(folder, gap, name, frames))
            stored = np.stack([np.concatenate(pair, axis=2).transpose(2, 0, 1) for pair in pairs])
            np.testing.assert_array_equal(stored, clip.flow(gap))
        for t, frame in enumerate(frames):
            labels = cv2.imread(
                str(folder / "Annotations/480p" / name / f"{frame}.png"), cv2.IMREAD_UNCHANGED
            )
            assert labels.shape[:2] == MADE_OF.size
            picture = cv2.imread(str(folder / "JPEGImages/480p" / name / f"{frame}.jpg"))[..., ::-1]
            assert np.abs(picture.astype(int) - clip.rgb[t]).mean() < 8  # JPEG
            for k in range(clip.num_objects):
                file = folder / "Annotations_amodal/480p" / name / f"{k + 1}_{frame}.png"
                assert np.array_equal(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 127, clip.amodal[t, k])
            assert not (
                folder / "Annotations_amodal/480p" / name / f"{clip.num_objects + 1}_{frame}.png"
            ).exists()


def test_the_set_is_found_as_clips(folder):
    found = find_clips(folder)
    assert [clip.name for clip in found.clips] == sorted(
        (folder / "ImageSets/synthetic.txt").read_text().split()
    )
    assert not found.skipped


def test_started_again_it_writes_only_what_is_missing(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*g") if path.is_file()}
    synthesise(str(folder), 3, MADE_OF)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*g") if path.is_file()}
    assert before.items() < after.items()
    assert len((folder / "ImageSets/synthetic.txt").read_text().split()) == 3


def test_clips_of_two_kinds_do_not_mix(folder, tmp_path):
    with pytest.raises(RunError, match="clips with other settings"):
        synthesise(str(folder), 1, MADE_OF.model_copy(update={"seed": 6}))
    (tmp_path / "mine.txt").write_text("something")
    with pytest.raises(RunError, match="holds files other than synthetic clips"):
        synthesise(str(tmp_path), 1, MADE_OF)
