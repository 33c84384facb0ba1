"""The steps of docs/how-to/deployments.md, word for word: a server, a pool, a worker, and two nights."""

import json
import shlex
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from storage.artifacts import ArtifactStore
from storage.tracking import Tracker
from tests.flows.conftest import FIELDS
from tests.flows.servers import free_port, kill, training_begun, wait_until
from tests.flows.terminal import Terminal, blocks
from tests.test_docs import PAGES, ROOT, command_lines

PAGE = ROOT / "docs" / "how-to" / "deployments.md"
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


@pytest.fixture
def data(tmp_path: Path, smoke_weights: Path, smoke_clips: Path) -> Path:
    """What /data holds: videos and weights."""
    shutil.copytree(smoke_clips, tmp_path / "data" / "videos")
    shutil.copytree(smoke_weights, tmp_path / "data" / "weights")
    return tmp_path / "data"


@pytest.mark.slow
def test_the_page_works_as_it_stands_night_after_night(tmp_path: Path, data: Path) -> None:
    (lease, serve), deploy, (pointing, work), (again, start) = blocks(
        PAGE, "## A server, a work pool, a worker"
    )
    port = free_port()
    terminal = Terminal(tmp_path, {"~/motion-adapt": ROOT, "/data": data, ":4200": f":{port}"})
    terminal.environment |= {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_LOGGING_LEVEL": "INFO"}
    # Not five minutes, which the page speaks of.
    terminal.environment["PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION"] = "60"
    tiny = [part for name, value in TINY.items() for part in ("-p", f"{name}={json.dumps(value)}")]
    store = ArtifactStore(data / "motion-adapt" / "store")
    health = f"http://127.0.0.1:{port}/api/health"
    terminal.run(lease)
    with terminal.left_running(serve, health) as server, ExitStack() as stack:
        for line in (*deploy, pointing, again):
            terminal.run(line)
        listed = terminal.run("prefect deployment ls")
        for name in ("adapt/nightly", "adapt/on-demand", "segment/inbox", "pretrain/pretrain"):
            assert name in listed
        worker = stack.enter_context(terminal.left_running(work))

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
    with terminal.left_running(serve, health), terminal.left_running(work):
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
