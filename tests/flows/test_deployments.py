"""The steps of docs/how-to/deployments.md, word for word: a server, a pool, a worker, and two nights."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
import yaml

from storage.artifacts import ArtifactStore
from storage.tracking import Tracker
from tests.flows.conftest import FIELDS, child_environment
from tests.flows.servers import (
    PATIENCE,
    free_port,
    kill,
    running,
    serving,
    training_begun,
    wait_until,
)
from tests.test_docs import PAGES, ROOT, command_lines, fenced

PAGE = ROOT / "docs" / "how-to" / "deployments.md"
BIN = Path(sys.executable).parent
SERVERS = ("prefect server start", "mlflow server", "mlflow ui", "dask scheduler")
# What makes the runs of this test tiny; all else is as the page has it.
TINY = {"settings": FIELDS, "place": {"threads": 1, "device": "cpu"}}


def test_servers_in_the_documentation_are_for_this_machine_alone() -> None:
    """Prefect's and MLflow's are so by default; a host that is named must be the loopback address."""
    started = [
        line for page in PAGES for line in command_lines(page) if any(name in line for name in SERVERS)
    ]
    hosts = {words[words.index("--host") + 1] for words in map(shlex.split, started) if "--host" in words}
    assert hosts == {"127.0.0.1"}, started


def test_runs_work_where_they_are_deployed_and_wait_for_one_another() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    for item in deployments:
        assert item["pull"] == []  # the package is installed: nothing to fetch, no path to get wrong
        assert item["work_pool"]["job_variables"]["working_dir"] == "{{ $PWD }}"
        assert item["concurrency_limit"]["limit"] == 1


class Terminal:
    """Runs the lines of a shell block: /data, the checkout and the port are this test's."""

    def __init__(self, home: Path, data: Path, port: int) -> None:
        self.home, self.data, self.port = home, data, port
        self.environment = {**child_environment(home / "prefect"), "PREFECT_SERVER_API_PORT": str(port)}
        self.environment |= {"PATH": f"{BIN}:{self.environment['PATH']}", "PREFECT_LOGGING_LEVEL": "INFO"}
        # Not five minutes, which the page speaks of.
        self.environment["PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION"] = "60"
        self.cwd = home

    def log(self, lines: list[str]) -> Path:
        return self.home / f"{self.words(lines[-1])[1]}.log"

    def left_running(self, lines: list[str]) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """Run all lines; the last one stays for the time of a block, and a server answers in it."""
        for line in lines[:-1]:
            self.run(line)
        words, environment, log = self.words(lines[-1]), self.environment, self.log(lines)
        if "server" in words:
            return serving(words, f"http://127.0.0.1:{self.port}/api/health", environment, log)
        return running(words, environment, log)

    def words(self, line: str) -> list[str]:
        line = line.replace("~/motion-adapt", str(ROOT)).replace("/data", str(self.data))
        return shlex.split(line.replace(":4200", f":{self.port}"))

    def run(self, line: str, *more: str) -> str:
        program, *rest = self.words(line)
        if program == "cd":
            self.cwd, self.environment["PWD"] = Path(rest[0]), rest[0]
            return ""
        if program == "export":
            name, _, value = rest[0].partition("=")
            self.environment[name] = value
            return ""
        done = subprocess.run(
            [program, *rest, *more],
            env=self.environment, cwd=self.cwd, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


def blocks() -> Iterator[list[str]]:
    """The shell blocks of the page's first section, line by line."""
    section = PAGE.read_text().split("## A server, a work pool, a worker")[1].split("\n## ")[0]
    for _, body in fenced(section):
        yield body.splitlines()


@pytest.fixture
def data(tmp_path: Path, smoke_weights: Path, smoke_clips: Path) -> Path:
    """What /data holds: videos and weights."""
    shutil.copytree(smoke_clips, tmp_path / "data" / "videos")
    shutil.copytree(smoke_weights, tmp_path / "data" / "weights")
    return tmp_path / "data"


@pytest.mark.slow
def test_the_page_works_as_it_stands_night_after_night(tmp_path: Path, data: Path) -> None:
    serve, deploy, work, watch = blocks()
    terminal = Terminal(tmp_path, data, free_port())
    tiny = [part for name, value in TINY.items() for part in ("-p", f"{name}={json.dumps(value)}")]
    store = ArtifactStore(data / "motion-adapt" / "store")
    with terminal.left_running(serve) as server, ExitStack() as stack:
        for line in deploy:
            terminal.run(line)
        listed = terminal.run("prefect deployment ls")
        for name in ("adapt/nightly", "adapt/on-demand", "segment/inbox", "pretrain/pretrain"):
            assert name in listed
        worker = stack.enter_context(terminal.left_running(work))
        *exports, start = watch
        for line in exports:
            terminal.run(line)

        terminal.run(start, *tiny)
        first = night(data)
        assert first["stages"]["frames"]["computed"] == 2
        masks = data / "motion-adapt" / "results" / "videos" / "masks"
        assert {path.name for path in masks.iterdir()} == set(first["clips"])

        clips = data / "videos" / "JPEGImages" / "480p"
        shutil.rmtree(clips / "heron")
        shutil.copytree(clips / "tram [raw]", clips / "new")
        (clips / "new" / "00005.jpg").unlink()
        terminal.run(start, *tiny)
        second = night(data)
        assert set(second["clips"]) == {"new", "tram [raw]"} and not second["set_aside"]
        for stage, count in {"frames": 1, "flow": 2, "features": 2, "adapted-corrector": 1}.items():
            assert second["stages"][stage]["computed"] == count, stage

        (clips / "new" / "00006.jpg").unlink()
        terminal.run(start.replace(" --watch", ""), *tiny)
        scratch = data / "motion-adapt" / "scratch"
        wait_until(lambda: training_begun(scratch), worker, terminal.log(work))
        kill(worker)  # and the run with it
        kill(server)
    with terminal.left_running(serve), terminal.left_running(work):
        terminal.run(start, *tiny)  # once the slot of the run that died has been given back
    third = night(data)
    assert third["stages"]["frames"] == {"computed": 0, "cached": 2, "seconds": 0.0}
    assert not list(store.verify())


def night(data: Path) -> dict:
    """The report of the latest adaptation, from MLflow."""
    tracker = Tracker(f"sqlite:///{data}/motion-adapt/mlflow.db", "videos")
    found = tracker.read(tracker.adaptations()[0].info.run_id, "report.json")
    assert found is not None
    return json.loads(found)
