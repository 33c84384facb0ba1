"""What a strip shows of a frame, from the artifacts of its stages."""

from pathlib import Path

import numpy as np

from motion_adapt.storage.artifacts.reader import ArtifactReader
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Recipe
from motion_adapt.tasks.pictures import column

H, W = 16, 24


def test_only_exemplars_that_show_their_object_are_marked(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)

    def written(stage: str, **arrays: np.ndarray) -> ArtifactReader:
        with store.write(Recipe(stage, 1, {})) as out:
            for name, values in arrays.items():
                out.append(name, values, tuple(f"axis{axis}" for axis in range(values.ndim)))
        return store.open(out.published)

    masks = np.zeros((2, 3, H, W), np.bool_)
    masks[0, 0, :4], masks[0, 2, 8:] = True, True  # no frame has an object 2, the second frame none at all
    made = [
        written("flow", flow=np.zeros((2, 4, H, W), np.float16)),
        written("proposal", masks=masks),
        written("selection", exemplars=np.array([[True, True, False], [True, True, True]])),
        written("correction", masks=masks),
    ]
    done = written("final", labels=np.zeros((2, 2 * H, 2 * W), np.uint8))
    frame = np.zeros((2 * H, 2 * W, 3), np.uint8)
    marked = [column(index, frame, made, [None, None], None, done).exemplar_of for index in range(2)]
    assert marked == [(1,), ()]
