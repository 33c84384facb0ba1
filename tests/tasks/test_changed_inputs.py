"""Files that change between the digest in their key and their decoding are not published under that key."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.clips.find_clips import ClipError, find_clips
from motion_adapt.storage.clips.videos import content_digest
from motion_adapt.storage.formats.flo import flo_path, flow_content, write_flo
from motion_adapt.storage.formats.masks import masks_content, write_masks
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.flow import estimate_flow
from motion_adapt.tasks.frames import decode
from motion_adapt.tasks.proposal import take_proposals
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import FlowSettings

SIZE = 32, 48
NAMES = ("0", "1", "2")


def save_frame(path: Path, level: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), level, np.uint8)).save(path)


class Work:
    """A clip of three frames with ready-made flow and masks, and the stages that read them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = Place(store=str(root / "store"), scratch=str(root / "scratch"), threads=1, label="walk")
        for level, name in enumerate(NAMES):
            save_frame(root / "walk" / f"{name}.png", level)
            path = flo_path(root / "flow", 1, "walk", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_flo(path, np.zeros((*SIZE, 2), np.float32))
        write_masks(root / "masks", "walk", NAMES, [np.zeros(SIZE, np.uint8)] * 3)
        (self.clip,) = find_clips(root / "walk").clips

    def decode(self, content: str) -> Artifact:
        made: Artifact = decode.make(content=content, limit=None, clip=self.clip, place=self.place)
        return made

    def frames(self) -> Artifact:
        return self.decode(content_digest(self.clip))

    def flow(self, content: str) -> Artifact:
        made: Artifact = estimate_flow.make(
            self.frames(),
            gap=1,
            settings=FlowSettings(estimator="flo", folder=str(self.root / "flow")),
            flo=content,
            clip=self.clip,
            folder=str(self.root / "flow"),
            names=NAMES,
            place=self.place,
        )
        return made

    def masks(self, content: str) -> Artifact:
        made: Artifact = take_proposals.make(
            self.frames(),
            content=content,
            objects=3,
            background="black",
            folder=str(self.root / "masks"),
            names=NAMES,
            place=self.place,
        )
        return made


CASES: dict[str, tuple[Callable[[Work], str], Callable[[Work, str], Artifact], Callable[[Work], None]]] = {
    "frames": (
        lambda work: content_digest(work.clip),
        Work.decode,
        lambda work: save_frame(work.root / "walk" / "1.png", 9),
    ),
    "flow": (
        lambda work: flow_content(work.root / "flow", 1, "walk", NAMES),
        Work.flow,
        lambda work: write_flo(flo_path(work.root / "flow", 1, "walk", "1"), np.ones((*SIZE, 2), np.float32)),
    ),
    "given-proposal": (
        lambda work: masks_content(work.root / "masks", "walk", NAMES),
        Work.masks,
        lambda work: save_frame(work.root / "masks" / "walk" / "1.png", 9),
    ),
}


@pytest.mark.parametrize("stage", CASES)
def test_files_changed_since_their_digest_are_refused(tmp_path: Path, stage: str) -> None:
    content_of, make, change = CASES[stage]
    work = Work(tmp_path)
    content = content_of(work)
    change(work)
    with pytest.raises(ClipError, match=r"^walk: .* changed while .* read; run again$"):
        make(work, content)
    store = work.place.open()
    assert not list(store.manifests(stage)) and not list(store.litter(-1))
    assert make(work, content_of(work)).stage == stage  # run again
