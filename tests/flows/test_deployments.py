"""The steps of docs/how-to/deployments.md, word for word: a server, a pool, a worker and two nights; or `serve`."""

import json
import shlex
import shutil
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.tracking import Tracker
from tests.flows.conftest import FIELDS
from tests.flows.servers import free_port, kill, training_begun, wait_until
from tests.flows.terminal import Terminal, blocks
from tests.test_docs import PAGES, ROOT, command_lines

PAGE = ROOT / "docs" / "how-to" / "deployments.md"
SERVERS = ("prefect server start", "mlflow server", "mlflow ui", "dask scheduler")
# Settings that make this test's runs tiny; everything else is as on the page.
TINY = {"settings": FIELDS, "place": {"threads": 1, "device": "cpu"}}
TINY_ENVIRONMENT = {
    "MOTION_ADAPT_CORRECTOR_ADAPTATION__STEPS": "2",
    "MOTION_ADAPT_OCLR_FINETUNING__STEPS": "1",
    "MOTION_ADAPT_PRETRAIN__STEPS": "1",
}


def test_servers_in_the_documentation_are_for_this_machine_alone() -> None:
    """Prefect's and MLflow's servers are local by default; if a page names a host, it must be the loopback address."""
    started = [
        line for page in PAGES for line in command_lines(page) if any(name in line for name in SERVERS)
    ]
    hosts = {words[words.index("--host") + 1] for words in map(shlex.split, started) if "--host" in words}
    assert hosts == {"127.0.0.1"}, started


def test_runs_work_in_the_folder_of_deployment_and_one_at_a_time() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    for item in deployments:
        assert item["pull"] == []  # the package is installed, so there is nothing to fetch
        assert item["work_pool"]["job_variables"]["working_dir"] == "{{ $PWD }}"
        assert item["concurrency_limit"]["limit"] == 1


@pytest.fixture
def data(tmp_path: Path, smoke_weights: Path, smoke_clips: Path) -> Path:
    """Write the contents of /data: videos, and weights as small as possible."""
    shutil.copytree(smoke_clips, tmp_path / "data" / "videos")
    shutil.copytree(smoke_weights, tmp_path / "data" / "weights")
    return tmp_path / "data"


@pytest.mark.slow
def test_the_page_works_word_for_word_night_after_night(tmp_path: Path, data: Path) -> None:
    (lease, serve), deploy, (pointing, work), (again, start) = blocks(
        PAGE, "## A server, a work pool, a worker"
    )
    port = free_port()
    terminal = Terminal(tmp_path, {"~/motion-adapt": ROOT, "/data": data, ":4200": f":{port}"})
    terminal.environment |= {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_LOGGING_LEVEL": "INFO"}
    # Instead of the page's five minutes.
    terminal.environment["PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION"] = "60"
    tiny = [part for name, value in TINY.items() for part in ("-p", f"{name}={json.dumps(value)}")]
    tiny += ["-p", f"weights={data / 'weights'}"]
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
        kill(worker)  # and its run
        kill(server)
    with terminal.left_running(serve, health), terminal.left_running(work):
        terminal.run(start, *tiny)  # once the slot of the run that died has been given back
    third = night(data)
    assert third["stages"]["frames"] == {"computed": 0, "cached": 2, "seconds": 0.0}
    assert not list(store.verify())


def night(data: Path) -> dict:
    """Return the report of the latest adaptation, from MLflow."""
    tracker = Tracker(f"sqlite:///{data}/motion-adapt/mlflow.db", "videos")
    found = tracker.read(tracker.adaptations()[0].info.run_id, "report.json")
    assert found is not None
    return json.loads(found)


@pytest.mark.slow
def test_served_deployments_run_on_schedule_and_on_demand(tmp_path: Path, data: Path) -> None:
    ((_, serve),) = blocks(PAGE, "## Without a work pool")
    port = free_port()
    terminal = Terminal(tmp_path, {"0 3 * * *": "* * * * *"})  # "every night" is every minute here
    url = f"http://127.0.0.1:{port}/api"
    terminal.environment |= {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_API_URL": url, **TINY_ENVIRONMENT}
    # the default folders of the deployments
    shutil.copytree(data / "videos", tmp_path / "clips")
    shutil.copytree(data / "videos" / "JPEGImages" / "480p" / "heron", tmp_path / "inbox" / "heron")

    def nights() -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = json.loads(
            terminal.run("prefect flow-run ls --flow-name adapt --limit 200 -o json")
        )
        return [run for run in runs if run["start_time"] and run["deployment_id"] == nightly]

    server = terminal.left_running("prefect server start --host 127.0.0.1", f"{url}/health")
    with server, terminal.left_running(f"{serve} --limit 3") as offers:
        log = terminal.log(serve)
        wait_until(lambda: "adapt/nightly" in terminal.run("prefect deployment ls"), offers, log)
        nightly = json.loads(terminal.run("prefect deployment inspect adapt/nightly -o json"))["id"]
        wait_until(lambda: bool(nights()), offers, log)
        assert nights()[0]["auto_scheduled"]
        terminal.run("prefect --no-prompt deployment schedule pause --all")
        terminal.run("prefect deployment run adapt/nightly")  # waits for the scheduled run
        for name in ("segment/inbox", "adapt/on-demand", "pretrain/pretrain"):
            terminal.run(f"prefect deployment run {name} --watch")
        wait_until(lambda: len(nights()) > 1 and all(run["end_time"] for run in nights()), offers, log)
        runs = sorted(nights(), key=lambda run: run["start_time"])
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
    assert all(before["end_time"] <= after["start_time"] for before, after in pairwise(runs))
    results = tmp_path / "motion-adapt" / "results"
    assert {path.name for path in (results / "clips" / "masks").iterdir()} == {"heron", "tram [raw]"}
    assert {path.name for path in (results / "inbox" / "masks").iterdir()} == {"heron"}
    assert len(list((tmp_path / "weights").glob("*.safetensors"))) == 4
    assert not list(ArtifactStore(tmp_path / "motion-adapt" / "store").verify())
