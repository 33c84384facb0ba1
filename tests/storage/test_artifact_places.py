"""A folder with a tracking database that is moved or copied: its artifacts are found, and nothing else is touched."""

import shutil
from pathlib import Path

import pytest

from motion_adapt.storage.artifact_places import EXPERIMENT, RUN, current_place
from motion_adapt.storage.registry import Registry, champions
from motion_adapt.storage.tracking import Tracker


def tracked(folder: Path, database: Path) -> str:
    """Track one run with a registered champion in a folder, in a copy of a database. Returns the run's id."""
    folder.mkdir(parents=True)
    shutil.copy(database, folder / "mlflow.db")
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db", "clips")
    run = tracker.begin(kind="round", key="1", name="first", params={})
    tracker.json(run, {"J": 0.5}, "report")
    (folder / "oclr.safetensors").write_bytes(b"weights")
    tracker.files(run, [folder / "oclr.safetensors"], "checkpoints")
    registry = Registry(tracker)
    registry.promote(registry.register(run, "checkpoints", {}))
    return run


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("copied", [False, True])
def test_a_project_elsewhere_reads_and_writes_beside_its_database(
    tmp_path: Path, empty_database: Path, copied: bool
) -> None:
    old, new = tmp_path / "old place", tmp_path / "new place 50%"
    run = tracked(old, empty_database)
    if copied:
        shutil.copytree(old, new)
    else:
        old.rename(new)
    before = files(old)
    uri = f"sqlite:///{new}/mlflow.db"

    reader = Tracker(uri, "clips", create=False)
    assert reader.read(run, "report.json")
    assert (
        Registry(reader).download_champion(tmp_path / "got") / "oclr.safetensors"
    ).read_bytes() == b"weights"
    assert next(iter(champions(uri).values())).keys() == {"oclr.safetensors"}

    writer = Tracker(uri, "clips")
    second = writer.begin(kind="round", key="2", name="second", params={})
    for each in (run, second):
        writer.json(each, {"J": 0.6}, "more")
    assert len(list(new.rglob("more.json"))) == 2
    assert Registry(writer).register(second, "checkpoints", {}) == 2
    assert files(old) == before
    # MLflow's own page uses the recorded place
    assert {entry.path for entry in writer.client.list_artifacts(second)} == {"more.json"}
    assert {entry.path for entry in writer.client.list_artifacts(run)} == {
        "report.json",
        "more.json",
        "checkpoints",
    }


def test_only_places_beside_a_database_are_read_anew(tmp_path: Path) -> None:
    database, gone = tmp_path / "mlflow.db", "file:///gone/mlflow-artifacts/clips"
    assert current_place(gone, database, EXPERIMENT) == f"file://{tmp_path}/mlflow-artifacts/clips"
    for recorded, where in (
        ("s3://bucket/mlflow-artifacts/clips", database),
        ("file:///gone/mlruns/1", database),
        ("mlflow-artifacts:/1/abc/artifacts", None),
        (gone, None),
    ):
        assert current_place(recorded, where, EXPERIMENT) == recorded


def test_artifacts_that_stayed_where_they_were_are_still_found(tmp_path: Path, empty_database: Path) -> None:
    run = tracked(tmp_path / "old", empty_database)
    (tmp_path / "new").mkdir()
    (tmp_path / "old" / "mlflow.db").rename(tmp_path / "new" / "mlflow.db")
    tracker = Tracker(f"sqlite:///{tmp_path}/new/mlflow.db", "clips")
    assert tracker.read(run, "report.json")
    assert current_place(tracker.get(run).info.artifact_uri, tmp_path / "new/mlflow.db", RUN).startswith(
        f"file://{tmp_path}/old"
    )


def test_a_champion_whose_files_are_gone_is_named_in_one_line(tmp_path: Path, empty_database: Path) -> None:
    tracked(tmp_path / "old", empty_database)
    shutil.rmtree(tmp_path / "old" / "mlflow-artifacts")
    tracker = Tracker(f"sqlite:///{tmp_path}/old/mlflow.db", "clips")
    with pytest.raises(OSError, match="champion motion-adapt-clips version 1 can't be read") as caught:
        Registry(tracker).download_champion(tmp_path / "got")
    assert "\n" not in str(caught.value)
