"""The store's contract, on a local disk, in memory and on S3: published whole or not at all, damage never read."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.storage.artifacts.arrays import plan_rows
from motion_adapt.storage.artifacts.files import DamagedArtifact
from motion_adapt.storage.artifacts.run_records import RunRecord, recorded_runs, unneeded
from motion_adapt.storage.artifacts.store import NOT_MADE, ArtifactStore
from motion_adapt.storage.keys import Artifact, Recipe, digest


def publish(store: ArtifactStore, recipe: Recipe, rows: np.ndarray | None = None) -> Artifact:
    values = np.arange(40, dtype=np.float32).reshape(20, 2) if rows is None else rows
    with store.write(recipe) as out:
        for start in range(0, len(values), 7):
            out.append("x", values[start : start + 7], ("time", "channel"))
        out.put("note.txt", b"hello")
        out.summary["frames"] = len(values)
    return out.published


def flip(store: ArtifactStore, artifact: Artifact, name: str) -> None:
    path = f"{store.prefix(store.manifest(artifact))}/{name}"
    data = bytearray(store.fs.cat_file(path))
    data[len(data) // 2] ^= 1
    store.fs.pipe_file(path, bytes(data))


class TestStore:
    def test_what_is_published_is_read_back(self, store: ArtifactStore) -> None:
        recipe = Recipe("flow", 1, {"gap": 1})
        assert store.find(recipe) is None
        made = publish(store, recipe)
        assert store.find(recipe) == made
        reader = store.open(made)
        rows = reader.array("x")
        np.testing.assert_array_equal(rows[:], np.arange(40).reshape(20, 2))
        np.testing.assert_array_equal(rows[[9, 3, 3, -1]], np.arange(40).reshape(20, 2)[[9, 3, 3, -1]])
        np.testing.assert_array_equal(rows[4], [8, 9])
        assert reader.read("note.txt") == b"hello"
        with reader.path("note.txt") as path:
            assert path.read_bytes() == b"hello"
        assert reader.summary == {"frames": 20}
        assert list(store.verify()) == []
        assert list(store.litter(0)) == []

    def test_a_failed_attempt_leaves_nothing(self, store: ArtifactStore) -> None:
        recipe = Recipe("flow", 1)
        with pytest.raises(RuntimeError, match="half way"), store.write(recipe) as out:
            out.append("x", np.ones((3, 2), np.float32), ("time", "channel"))
            raise RuntimeError("half way")
        assert store.find(recipe) is None
        assert list(store.litter(0)) == []

    def test_a_killed_attempt_is_invisible_and_swept(self, store: ArtifactStore) -> None:
        recipe = Recipe("flow", 1)
        out = store.write(recipe).__enter__()
        out.append("x", np.ones((3, 2), np.float32), ("time", "channel"))
        out.put("note.txt", b"x")
        assert store.find(recipe) is None  # as after a SIGKILL: the attempt was never closed
        assert list(store.litter(3600)) == []
        [(path, _)] = store.litter(-1)
        store.remove_attempt(path)
        assert list(store.litter(-1)) == []
        publish(store, recipe)

    def test_the_first_of_two_publishers_wins(self, store: ArtifactStore) -> None:
        recipe = Recipe("flow", 1)
        with store.write(recipe) as slow:
            slow.append("x", np.zeros((3, 2), np.float32), ("time", "channel"))
            fast = publish(store, recipe)
        assert slow.published == fast == store.find(recipe)
        assert list(store.litter(-1)) == []

    def test_of_many_publishers_at_once_one_succeeds(self, store: ArtifactStore) -> None:
        recipe, ready, writers = Recipe("flow", 1), threading.Barrier(4), 4

        def race(_: int) -> Artifact:
            own = ArtifactStore(store.url)
            with own.write(recipe) as out:
                out.append("x", np.ones((3, 2), np.float32), ("time", "channel"))
                ready.wait(timeout=60)
            return out.published

        with ThreadPoolExecutor(writers) as pool:
            published = list(pool.map(race, range(writers)))
        assert set(published) == {store.find(recipe)}
        assert list(store.litter(-1)) == []

    def test_a_manifest_never_replaces_another(self, store: ArtifactStore) -> None:
        made = publish(store, Recipe("flow", 1))
        manifest = store.manifest(made)
        assert not store.put_manifest(manifest.model_copy(update={"summary": {"other": True}}))
        assert store.manifest(made) == manifest
        seen = store.manifest_bytes(made.stage, made.key)
        # The manifest has changed since it was seen, so it stays.
        store.withdraw(made.stage, made.key, seen[:-1])
        assert store.manifest_bytes(made.stage, made.key) == seen
        store.withdraw(made.stage, made.key, seen)
        assert store.lookup(Recipe("flow", 1)).why == NOT_MADE

    def test_an_unpublished_artifact_is_recomputed_and_its_files_are_swept(
        self, store: ArtifactStore
    ) -> None:
        recipe = Recipe("flow", 1)
        first = publish(store, recipe)
        store.unpublish(first.stage, first.key)
        store.unpublish(first.stage, first.key)  # as when two readers meet the same damage
        assert store.lookup(recipe).why == NOT_MADE
        second = publish(store, recipe)
        assert (second.digest, second.attempt != first.attempt) == (first.digest, True)
        [(path, size)] = store.litter(-1)
        assert path.endswith(first.attempt) and size > 0
        store.remove_attempt(path)
        assert list(store.verify()) == []

    def test_who_meets_damage_withdraws_no_artifact_that_was_published_since(
        self, store: ArtifactStore
    ) -> None:
        recipe = Recipe("flow", 1)
        made = publish(store, recipe)
        reader = store.open(made)
        flip(store, made, "note.txt")
        faults = store.verify(withdraw=True)
        assert next(faults) == (str(made), "note.txt has other bytes than were published")
        store.unpublish(made.stage, made.key)
        again = publish(store, recipe)
        assert list(faults) == []
        with pytest.raises(DamagedArtifact, match="note"):
            reader.read("note.txt")
        assert store.find(recipe) == again != made

    def test_an_artifact_of_other_input_bytes_is_replaced(self, store: ArtifactStore) -> None:
        frames = publish(store, Recipe("frames", 1))
        publish(store, Recipe("flow", 1, {}, {"frames": frames}))
        other = Recipe("flow", 1, {}, {"frames": frames.model_copy(update={"digest": "0" * 64})})
        assert store.lookup(other).why == "its input 'frames' has other bytes now"
        assert publish(store, other) == store.find(other)

    def test_only_artifacts_that_nothing_needs_are_pruned(self, store: ArtifactStore) -> None:
        frames = publish(store, Recipe("frames", 1))
        flow = publish(store, Recipe("flow", 1, {}, {"frames": frames}))
        publish(store, Recipe("flow", 1, {"gap": 3}, {"frames": frames}))
        with store.write(Recipe("training", 1, {}, {"flow": flow})) as out:
            out.put("checkpoint", b"champion's")
        training, champion = out.published, hashlib.sha256(b"champion's").hexdigest()

        def pruned(**kept: Any) -> list[str]:
            return [str(manifest.artifact) for manifest in unneeded(store, **kept)]

        RunRecord(store, "adapt", "clips").write([flow], ended=True)
        [run] = recorded_runs(store)
        everything = {str(manifest.artifact) for manifest in store.manifests()}
        assert pruned(runs=[], older_than=3600) == []
        assert set(pruned(runs=[])) == everything
        assert set(pruned(runs=[run])) == everything - {str(flow), str(frames)}
        unused = list(unneeded(store, runs=[], files={champion}))
        assert {str(m.artifact) for m in unused} == everything - {str(training), str(flow), str(frames)}
        for manifest in unused:
            store.delete(manifest)
        assert {m.stage for m in store.manifests()} == {"frames", "flow", "training"}
        assert list(store.verify()) == list(store.litter(-1)) == []

    def test_a_flipped_byte_is_found_by_verify_and_never_read(self, store: ArtifactStore) -> None:
        recipe = Recipe("flow", 1, {"seed": 5})
        made = publish(store, recipe)
        flip(store, made, "x/c/0/0")
        assert [name for name, _ in store.verify()] == [str(made)]
        assert store.find(recipe) == made
        with pytest.raises(DamagedArtifact, match="x/c/0/0"):
            store.open(made).array("x")[0]
        assert store.find(recipe) is None  # withdrawn: recomputed when next needed
        assert publish(store, recipe).digest == made.digest

    def test_a_flipped_byte_of_a_plain_file_is_never_read(self, store: ArtifactStore) -> None:
        made = publish(store, Recipe("weights", 1, {"x": 1}))
        flip(store, made, "note.txt")
        with pytest.raises(DamagedArtifact, match="note"):
            store.open(made).read("note.txt")

    def test_a_damaged_manifest_is_not_an_artifact(self, store: ArtifactStore) -> None:
        recipe = Recipe("flow", 1)
        made = publish(store, recipe)
        path = f"{store.root}/{made.stage}/{made.key}/manifest.json"
        store.fs.pipe_file(path, store.fs.cat_file(path).replace(b'"frames": 20', b'"frames": 21'))
        assert "seal" in store.lookup(recipe).why
        assert [fault for _, fault in store.verify()] == ["manifest: the manifest does not match its seal"]
        with pytest.raises(DamagedArtifact):
            store.open(made)

    def test_a_missing_shard_is_not_a_hit(self, store: ArtifactStore) -> None:
        recipe = Recipe("flow", 1)
        made = publish(store, recipe)
        store.fs.rm_file(f"{store.prefix(store.manifest(made))}/x/c/0/0")
        assert "damaged" in store.lookup(recipe).why

    def test_a_shard_that_goes_missing_after_it_was_read_is_never_zeros(self, store: ArtifactStore) -> None:
        recipe = Recipe("flow", 1)
        made = publish(store, recipe)
        rows = store.open(made).array("x")
        np.testing.assert_array_equal(rows[3], [6, 7])
        store.fs.rm_file(f"{store.prefix(store.manifest(made))}/x/c/0/0")
        with pytest.raises(DamagedArtifact, match="x/c/0/0 is missing"):
            rows[3]
        assert store.lookup(recipe).why == NOT_MADE

    def test_all_zero_rows_come_back_though_no_chunk_is_stored(self, store: ArtifactStore) -> None:
        made = publish(store, Recipe("flow", 1), np.zeros((9, 2), np.float32))
        np.testing.assert_array_equal(store.open(made).array("x")[2:5], np.zeros((3, 2)))
        assert list(store.verify()) == []

    def test_the_chain_back_to_the_inputs(self, store: ArtifactStore) -> None:
        frames = publish(store, Recipe("frames", 1))
        flow = publish(store, Recipe("flow", 1, {}, {"frames": frames}))
        other = publish(store, Recipe("features", 1))
        masks = publish(store, Recipe("proposal", 1, {}, {"flow": flow}))
        chain = [(depth, name, manifest.stage) for depth, name, manifest in store.explain(masks) if manifest]
        assert chain == [(0, "", "proposal"), (1, "flow", "flow"), (2, "frames", "frames")]
        needed = store.needed_by([masks])
        assert (flow.stage, flow.key) in needed
        assert (other.stage, other.key) not in needed

    def test_a_chain_lists_inputs_once(self, store: ArtifactStore) -> None:
        tip = publish(store, Recipe("frames", 1))
        for version in range(12):  # every step reads the one before twice: 2**12 paths
            tip = publish(store, Recipe("flow", version, {}, {"a": tip, "b": tip}))
        assert len(list(store.explain(tip))) == 1 + 2 * 12

    def test_a_row_of_another_shape_is_refused(self, store: ArtifactStore) -> None:
        with (
            pytest.raises(ValueError, match=r"array x: rows are \(2,\) float32"),
            store.write(Recipe("s", 1)) as out,
        ):
            out.append("x", np.zeros((1, 2), np.float32), ("time", "channel"))
            out.append("x", np.zeros((1, 3), np.float32), ("time", "channel"))

    def test_a_table_of_a_few_bytes_takes_few_bytes(self, store: ArtifactStore) -> None:
        made = publish(store, Recipe("selection", 1), np.zeros((12, 3), bool))
        assert sum(file.size for file in store.manifest(made).files.values()) < 10_000

    def test_many_shards(self, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("motion_adapt.storage.artifacts.arrays.CHUNK_BYTES", 64)
        monkeypatch.setattr("motion_adapt.storage.artifacts.arrays.SHARD_BYTES", 256)
        values = np.random.default_rng(0).normal(size=(133, 4)).astype(np.float16)
        made = publish(store, Recipe("flow", 1), values)
        rows = store.open(made).array("x")
        np.testing.assert_array_equal(rows[:], values)
        np.testing.assert_array_equal(rows[[130, 2]], values[[130, 2]])
        assert store.manifest(made).arrays["x"].shape == (133, 4)


def test_a_stores_own_path_is_never_read_as_a_pattern(patterned: ArtifactStore) -> None:
    assert list(patterned.manifests()) == list(patterned.verify()) == list(patterned.litter(-1)) == []
    frames = publish(patterned, Recipe("frames", 1))
    flow = publish(patterned, Recipe("flow", 1, {}, {"frames": frames}))
    RunRecord(patterned, "adapt", "clips").write([frames], ended=True)
    patterned.fs.pipe_file(f"{patterned.root}/frames/notes.txt", b"not an artifact")
    assert [manifest.artifact for manifest in patterned.manifests()] == [flow, frames]
    assert [manifest.artifact for manifest in patterned.manifests("fr*")] == [frames]
    assert patterned.resolve(flow.key[:8]) == flow
    [unused] = unneeded(patterned, runs=recorded_runs(patterned))
    assert unused.artifact == flow
    patterned.delete(unused)
    patterned.write(Recipe("flow", 2)).__enter__().put("note", b"x")  # as after a SIGKILL
    [(path, _)] = patterned.litter(-1)
    patterned.remove_attempt(path)
    assert list(patterned.litter(-1)) == list(patterned.verify()) == []
    flip(patterned, frames, "note.txt")
    assert [name for name, _ in patterned.verify()] == [str(frames)]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, min_size=1, max_size=4))
def test_a_key_depends_on_values_and_not_on_their_order(values: dict[str, object]) -> None:
    turned = dict(reversed(values.items()))
    assert digest(values) == digest(turned)
    assert digest(values) != digest({**values, "one more": 1})


@pytest.mark.parametrize("value", [{1, 2}, np.zeros(2), object(), float("nan")])
def test_values_without_a_stable_text_are_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        digest({"a": value})


@given(st.integers(1, 10**9))
def test_a_shard_is_a_bounded_multiple_of_a_chunk(row_bytes: int) -> None:
    chunk, shard = plan_rows(row_bytes)
    assert shard % chunk == 0
    assert shard * row_bytes <= max(32 * 2**20, row_bytes)
