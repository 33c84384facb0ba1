"""Processes that publish the same key at once, and processes that are killed while publishing, without locks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from motion_adapt.storage.artifacts.store import NOT_MADE, ArtifactStore
from motion_adapt.storage.keys import Recipe

KEYS = 8
COMMON = """
import os, sys
import numpy as np
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Recipe

store = ArtifactStore(sys.argv[1])

def publish(key):
    with store.write(Recipe("flow", 1, {"key": key})) as out:
        out.append("x", np.full((3, 2), key, np.float32), ("time", "channel"))
        out.append("y", np.full((3, 2), key, np.float16), ("time", "channel"))
    return out.published
"""
RACE = f"""
print("ready", flush=True)
sys.stdin.readline()
for key in range({KEYS}):
    print(publish(key).attempt, flush=True)
"""
# Pauses where the process is to be killed: before the second array, before the manifest, or before it is linked.
STOP = """
def stop(*args, **kwargs):
    print("there", flush=True)
    sys.stdin.read()

from motion_adapt.storage.artifacts import arrays, files
place = {"array": (arrays.ArrayWriter, "close"), "manifest": (ArtifactStore, "put_manifest"), "link": (os, "link")}
setattr(*place[sys.argv[2]], stop)
publish(0)
"""


def process(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMON + code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def race(url: str) -> set[tuple[str, ...]]:
    """Have two processes publish the same keys at once. Returns the attempts that each considers published."""
    racers = [process(RACE, url) for _ in range(2)]
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    attempts = {tuple(racer.communicate(timeout=300)[0].split()) for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0]
    return attempts


def published(store: ArtifactStore) -> tuple[str, ...]:
    found = [store.find(Recipe("flow", 1, {"key": key})) for key in range(KEYS)]
    return tuple(artifact.attempt for artifact in found if artifact)


@pytest.mark.parametrize("where", ["local", pytest.param("s3", marks=pytest.mark.slow)])
def test_processes_at_once_agree_on_what_is_published(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = str(tmp_path / "store") if where == "local" else f"{request.getfixturevalue('bucket')}/race"
    attempts, store = race(url), ArtifactStore(url)
    assert attempts == {published(store)}
    assert list(store.litter(-1)) == list(store.verify()) == []


@pytest.mark.slow
def test_without_conditional_puts_the_later_writer_wins_and_nothing_breaks(careless: str) -> None:
    url = f"{careless}/careless-race"
    attempts, store = race(url), ArtifactStore(url)
    there = published(store)
    assert {len(one) for one in attempts} == {KEYS} == {len(there)}
    for of_key in zip(there, *attempts, strict=True):
        assert of_key[0] in of_key[1:]
    assert not list(store.verify())
    for prefix, _ in store.litter(-1):
        store.remove_attempt(prefix)
    assert published(store) == there and not list(store.verify())


@pytest.mark.parametrize("where", ["array", "manifest", "link"])
def test_a_kill_while_publishing_does_not_block_others(where: str, tmp_path: Path) -> None:
    recipe, store = Recipe("flow", 1, {"key": 0}), ArtifactStore(tmp_path / "store")
    with process(STOP, store.url, where) as child:
        assert child.stdout and child.stdout.readline() == "there\n"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert store.lookup(recipe).why == NOT_MADE
    assert len(list(store.litter(-1))) == 1
    with store.write(recipe) as out:  # without waiting for the killed process
        out.put("note", b"x")
    assert store.find(recipe) == out.published
    for path, _ in store.litter(-1):
        store.remove_attempt(path)
    prefix = store.prefix(store.manifest(out.published))
    left = {str(path) for path in Path(store.root).rglob("*") if path.is_file()}
    assert left == {f"{prefix}/note", f"{prefix}/zarr.json", store.manifest_path(recipe.stage, recipe.key)}
