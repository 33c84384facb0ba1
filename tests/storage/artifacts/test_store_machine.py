"""The store compared with a model of it: written, killed, resumed, damaged, deleted and pruned in any order."""

import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from motion_adapt.storage.artifacts.files import DamagedArtifact
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.run_records import RecordedRun, unneeded
from motion_adapt.storage.artifacts.store import NOT_MADE, ArtifactStore
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact, Recipe
from tests.examples import examples

STEPS = 4  # a chain: each step's artifact is computed from the one before
ATTEMPTS = itertools.count()


class Killed(BaseException):
    """Simulates SIGKILL: no more code of the writer runs."""


class MortalStore(ArtifactStore):
    """A store whose process can be killed when everything except the manifest is written."""

    dying = False

    def put_manifest(self, manifest: Manifest) -> bool:
        if self.dying:
            raise Killed
        return super().put_manifest(manifest)

    def remove_attempt(self, prefix: str) -> None:
        if self.dying:
            raise Killed
        super().remove_attempt(prefix)


@dataclass
class Known:
    """The model's state of one published artifact."""

    artifact: Artifact
    damaged: str = ""  # the file with a flipped byte or a lost end, which may be "manifest.json"
    evident: bool = False  # whether a lookup notices, which reads the manifest and the sizes of files


def values(step: int) -> dict[str, np.ndarray]:
    """Return the arrays of a step: several shards, all-zero rows, another dtype."""
    rng = np.random.default_rng(step)
    rows = rng.normal(size=(7 + step, 4)).astype(np.float16)
    rows[2:5] = 0
    return {"x": rows, "y": rng.integers(0, 2, (3, 2)).astype(bool)}


def recipe(step: int) -> Recipe:
    """Return a step's recipe. The inputs' digests are constant, because their bytes are always the same here."""
    inputs = (
        {"before": Artifact(stage="step", key=recipe(step - 1).key, attempt="", digest="")} if step else {}
    )
    return Recipe("step", step, {}, inputs)


def fill(out: ArtifactWriter, step: int, arrays: int = 2) -> None:
    for name, rows in itertools.islice(values(step).items(), arrays):
        out.append(name, rows, ("time", "channel"))
    if arrays == 2:
        out.put("note", f"step {step}".encode())


steps = st.integers(0, STEPS - 1)


class StoreMachine(RuleBasedStateMachine):
    """Invariant: the store has exactly the artifacts of the model; each reads as it was written or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.patch = pytest.MonkeyPatch()
        self.known: dict[int, Known] = {}
        self.litter: dict[str, int] = {}  # attempt -> step

    @initialize()
    def open(self) -> None:
        self.patch.setattr("motion_adapt.storage.artifacts.arrays.CHUNK_BYTES", 16)
        self.patch.setattr("motion_adapt.storage.artifacts.arrays.SHARD_BYTES", 32)
        self.store = MortalStore(Path(self.folder) / "store")

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.folder)

    # ---------------------------------------------------------------- actions of a run

    def publish(self, step: int, attempt: str) -> None:
        """Write a step. In the model, an artifact that passes a lookup stays, any other is replaced."""
        with self.store.write(recipe(step), attempt) as out:
            fill(out, step)
        self.litter.pop(attempt, None)
        known = self.known.get(step)
        if known and not known.evident:
            assert out.published == known.artifact
            return
        assert out.published.attempt == attempt
        if known:
            self.litter[known.artifact.attempt] = step
        self.known[step] = Known(out.published)

    @rule(step=steps)
    def write(self, step: int) -> None:
        self.publish(step, f"attempt-{next(ATTEMPTS)}")

    @rule(step=steps, arrays=st.integers(0, 2))
    def kill_between_arrays(self, step: int, arrays: int) -> None:
        attempt = f"attempt-{next(ATTEMPTS)}"
        fill(self.store.write(recipe(step), attempt).__enter__(), step, arrays)
        self.litter[attempt] = step

    @rule(step=steps)
    def kill_before_the_manifest(self, step: int) -> None:
        attempt = f"attempt-{next(ATTEMPTS)}"
        self.store.dying = True
        with pytest.raises(Killed), self.store.write(recipe(step), attempt) as out:
            fill(out, step)
        self.store.dying = False
        self.litter[attempt] = step

    @precondition(lambda self: self.unfinished())
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.unfinished()))
        self.publish(self.litter[attempt], attempt)

    def unfinished(self) -> list[str]:
        return sorted(self.litter)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[step]
        try:
            reader = self.store.open(known.artifact)
            for name, rows in values(step).items():
                np.testing.assert_array_equal(reader.array(name)[:], rows)
            assert reader.read("note") == f"step {step}".encode()
        except DamagedArtifact:
            assert known.damaged
            self.withdrawn(step)
        else:
            # zarr.json is the group's metadata, which no reader opens.
            assert not known.damaged or known.damaged == "zarr.json"

    def withdrawn(self, step: int) -> None:
        self.litter[self.known.pop(step).artifact.attempt] = step

    # ---------------------------------------------------------------- damage

    @precondition(lambda self: self.sound())
    @rule(data=st.data(), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def flip(self, data: st.DataObject, where: float, bit: int) -> None:
        path = self.hit(data)
        content = bytearray(path.read_bytes())
        content[int(where * len(content))] ^= 1 << bit
        path.write_bytes(content)

    @precondition(lambda self: self.sound())
    @rule(data=st.data(), share=st.floats(0, 1, exclude_max=True))
    def cut_off(self, data: st.DataObject, share: float) -> None:
        path = self.hit(data, evident=True)
        os.truncate(path, int(share * path.stat().st_size))

    def hit(self, data: st.DataObject, *, evident: bool = False) -> Path:
        """Choose a file of an undamaged artifact and mark it as damaged."""
        known = self.known[data.draw(st.sampled_from(self.sound()))]
        manifest = self.store.manifest(known.artifact)
        known.damaged = data.draw(st.just("manifest.json") | st.sampled_from(sorted(manifest.files)))
        known.evident = evident or known.damaged == "manifest.json"
        folder = Path(self.store.prefix(manifest))
        return (folder.parent if known.damaged == "manifest.json" else folder) / known.damaged

    def sound(self) -> list[int]:
        return sorted(step for step, known in self.known.items() if not known.damaged)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def unpublish(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(sorted(self.known)))
        artifact = self.known[step].artifact
        self.store.unpublish(artifact.stage, artifact.key)
        self.withdrawn(step)

    # ---------------------------------------------------------------- maintenance

    @rule()
    def sweep(self) -> None:
        """Delete the litter. A damaged manifest names nothing, so the attempt that it named is litter too."""
        unnamed = {k.artifact.attempt for k in self.known.values() if k.damaged == "manifest.json"}
        paths = [path for path, _ in self.store.litter(-1)]
        assert sorted(path.rpartition("/")[2] for path in paths) == sorted({*self.litter, *unnamed})
        for path in paths:
            self.store.remove_attempt(path)
        self.litter.clear()
        for step in [s for s, k in self.known.items() if k.damaged == "manifest.json"]:
            self.store.unpublish("step", recipe(step).key)
            del self.known[step]

    @rule(kept=st.sets(steps, max_size=2))
    def prune(self, kept: set[int]) -> None:
        """Keep the chains of some steps. A chain ends at a link that is missing or unreadable."""
        refs = [Artifact(stage="step", key=recipe(step).key, attempt="", digest="") for step in kept]
        needed = set()
        for step in kept:
            for link in range(step, -1, -1):
                needed.add(link)
                if link not in self.known or self.known[link].damaged == "manifest.json":
                    break
        visible = {step for step, known in self.known.items() if known.damaged != "manifest.json"}
        gone = list(unneeded(self.store, runs=[RecordedRun("", "", "", tuple(refs))]))
        assert {manifest.version for manifest in gone} == visible - needed
        for manifest in gone:
            self.store.delete(manifest)
            del self.known[manifest.version]

    @rule()
    def verify(self) -> None:
        faulty = {name for name, _ in self.store.verify()}
        assert faulty == {str(known.artifact) for known in self.known.values() if known.damaged}

    # ---------------------------------------------------------------- always

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        for step in range(STEPS):
            found, known = self.store.lookup(recipe(step)), self.known.get(step)
            if known is None:
                assert found.why == NOT_MADE
            elif known.evident:
                assert found.why.startswith("damaged: ")
            else:
                assert found.artifact == known.artifact


StoreMachine.TestCase.settings = examples(8)
TestStoreMachine = StoreMachine.TestCase
