"""`motion-adapt store prune` and `explain`: artifacts that a kept run or a champion needs are never deleted."""

import hashlib
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.storage.artifacts.run_records import RunRecord
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Artifact, Recipe
from motion_adapt.storage.registry import Registry, champions
from motion_adapt.storage.tracking import Tracker


def put(store: ArtifactStore, stage: str, text: str, **inputs: Artifact) -> Artifact:
    with store.write(Recipe(stage, 1, {"text": text}, inputs)) as out:
        out.put("checkpoint.safetensors", text.encode() * 1000)
    return out.published


class Nightly:
    """A store after some nights: the first night's weights are champion, the last run is kept, and one left litter."""

    def __init__(self, path: Path, database: Path) -> None:
        shutil.copy(database, path / "mlflow.db")
        self.url, self.tracking = str(path / "store"), f"sqlite:///{path}/mlflow.db"
        self.store, tracker = ArtifactStore(self.url), Tracker(f"sqlite:///{path}/mlflow.db", "clips")
        self.old = put(self.store, "frames", "old")
        self.champion = put(self.store, "training", "champion", frames=self.old)
        self.between = put(self.store, "training", "between", frames=self.old)
        self.frames = put(self.store, "frames", "new")
        self.masks = put(self.store, "final", "masks", frames=self.frames, weights=self.between)
        self.unused = put(self.store, "training", "unused", frames=self.frames)
        RunRecord(self.store, "adapt", "clips").write([self.masks], ended=True)
        for made in (self.champion, self.unused):
            run = tracker.begin(kind="round", key=made.key, name="round", params={})
            with self.store.open(made).path("checkpoint.safetensors") as file:
                tracker.files(run, [file], "checkpoints")
            version = Registry(tracker).register(run, "checkpoints", {})
            if made == self.champion:
                Registry(tracker).promote(version)
        self.store.write(Recipe("final", 2)).__enter__().put("half", b"x" * 500)

    def prune(self, *options: str) -> str:
        command = ["store", "prune", "--store", self.url, "--tracking-uri", self.tracking, *options]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        return result.output

    def kept(self) -> set[str]:
        return {str(manifest.artifact) for manifest in self.store.manifests()}


@pytest.fixture
def nightly(tmp_path: Path, empty_database: Path) -> Nightly:
    return Nightly(tmp_path, empty_database)


def test_champions_are_known_by_the_bytes_of_their_checkpoints(nightly: Nightly, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"champion" * 1000).hexdigest()
    name = "motion-adapt-clips version 1"
    assert champions(nightly.tracking) == {name: {"checkpoint.safetensors": digest}}
    assert champions(f"sqlite:///{tmp_path}/none.db") == {}
    assert not (tmp_path / "none.db").exists()


def test_champions_beyond_the_first_page_are_known(nightly: Nightly, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("aardvark", "badger"):  # these sort before ours
        Tracker(nightly.tracking, "clips").client.create_registered_model(name)
    monkeypatch.setattr("motion_adapt.storage.registry._PAGE", 1)
    assert list(champions(nightly.tracking)) == ["motion-adapt-clips version 1"]


def test_prune_deletes_only_what_no_kept_run_and_no_champion_needs(nightly: Nightly) -> None:
    everything = nightly.kept()
    assert "0 items, 0.0 MB freed" in nightly.prune("--unused")  # everything is less than an hour old
    told = nightly.prune("--unused", "--older-than", "0", "--dry-run")
    assert "everything that 1 run and 1 champion of" in told
    assert f"would delete {nightly.unused}" in told
    assert "2 items, 0.0 MB would be freed" in told
    assert nightly.kept() == everything and len(list(nightly.store.litter(-1))) == 1
    assert "2 items" in nightly.prune("--unused", "--older-than", "0")
    assert nightly.kept() == everything - {str(nightly.unused)}
    assert list(nightly.store.litter(-1)) == list(nightly.store.verify()) == []
    RunRecord(nightly.store, "segment", "clip").write([nightly.frames], ended=True)
    nightly.prune("--unused", "--older-than", "0", "--keep-runs", "1")
    assert nightly.kept() == {str(ref) for ref in (nightly.frames, nightly.champion, nightly.old)}


def test_prune_stops_if_a_champion_cannot_be_read(nightly: Nightly, tmp_path: Path) -> None:
    everything = nightly.kept()
    (tmp_path / "mlflow-artifacts").rename(tmp_path / "elsewhere")
    command = ["store", "prune", "--store", nightly.url, "--tracking-uri", nightly.tracking, "--unused"]
    result = CliRunner().invoke(app, [*command, "--older-than", "0"])
    assert result.exit_code == 1
    assert "the champion motion-adapt-clips version 1 can't be read" in result.output
    assert nightly.kept() == everything


def test_prune_stops_if_the_champions_are_unknown(
    nightly: Nightly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database that is named is not there, or that of the current folder is not, and a run adapted."""
    monkeypatch.chdir(tmp_path)
    everything = nightly.kept()
    command = ["store", "prune", "--store", nightly.url, "--unused", "--older-than", "0"]
    for named in (["--tracking-uri", "sqlite:///typo.db"], []):
        result = CliRunner().invoke(app, [*command, *named])
        told = " ".join(result.output.split())
        assert result.exit_code == 1 and "nothing is deleted: there is no database" in told, told
        assert "--tracking-uri" in told and nightly.kept() == everything
    segmented = ArtifactStore(str(tmp_path / "segmented"))
    put(segmented, "final", "masks")
    command[3] = segmented.url
    assert CliRunner().invoke(app, command).exit_code == 0
    assert list(segmented.manifests()) == []


def test_prune_stops_if_a_runs_record_is_damaged_and_verify_names_it(nightly: Nightly) -> None:
    everything = nightly.kept()
    [record] = (Path(nightly.url) / "_runs").iterdir()
    whole = record.read_text()
    record.write_text(whole[: len(whole) // 2])
    command = ["--store", nightly.url]
    result = CliRunner().invoke(app, ["store", "prune", *command, "--unused", "--older-than", "0"])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    told = " ".join(result.output.split())
    assert "nothing is deleted: the run record" in told and "Run the same command again" in told
    assert record.name in told.replace(" ", "")
    assert nightly.kept() == everything
    result = CliRunner().invoke(app, ["store", "verify", *command, "--withdraw"])
    assert result.exit_code == 1 and "damaged run record" in " ".join(result.output.split())
    assert "every byte as published" not in result.output
    RunRecord(nightly.store, "adapt", "clips").write([nightly.masks], ended=True)  # the same command again
    record.unlink()
    assert CliRunner().invoke(app, ["store", "verify", *command]).exit_code == 0
    nightly.prune("--unused", "--older-than", "0")
    assert nightly.kept() == everything - {str(nightly.unused)}


def test_explain_prints_the_chain_and_what_is_shared_once(nightly: Nightly) -> None:
    tip = put(nightly.store, "final", "both", a=nightly.masks, b=nightly.masks)
    lines = (
        CliRunner().invoke(app, ["store", "explain", str(tip), "--store", nightly.url]).output.splitlines()
    )
    words = [line.strip("│├└─ ").split(" v1")[0] for line in lines if line.strip()]
    assert words == [
        f"final {tip.key[:12]}",
        f"a: final {nightly.masks.key[:12]}",
        f"frames: frames {nightly.frames.key[:12]}",
        f"weights: training {nightly.between.key[:12]}",
        f"frames: frames {nightly.old.key[:12]}",
        f"b: final {nightly.masks.key[:12]}",
    ]
    assert "as above" in lines[-1]
    nightly.store.delete(nightly.store.manifest(nightly.old))
    shown = CliRunner().invoke(app, ["store", "explain", str(tip), "--store", nightly.url]).output
    assert "frames: gone from the store" in shown


def test_an_unknown_stage_is_told(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    put(store, "of-long-ago", "x")
    for verb in ("list", "verify"):
        command = ["store", verb, "--store", store.url, "--stage"]
        result = CliRunner().invoke(app, [*command, "porposal"])
        assert result.exit_code == 1 and "did you mean 'proposal'?" in result.output
        for known in ("proposal", "clip-*", "of-long-ago", "of-*"):
            assert CliRunner().invoke(app, [*command, known]).exit_code == 0


def test_a_store_on_s3_is_maintained_like_any_other(bucket: str) -> None:
    store = ArtifactStore(f"{bucket}/looked-after")
    made = put(store, "frames", "x")
    for command, told in (
        (["list"], "1 artifact,"),
        (["verify"], "1 artifact, every byte as published"),
        (["explain", made.key[:6]], f"frames {made.key[:12]}"),
        (["prune"], f"0 items, 0.0 MB freed in {store.url}"),
    ):
        result = CliRunner().invoke(app, ["store", *command, "--store", store.url])
        assert result.exit_code == 0, result.output
        assert told in result.output
