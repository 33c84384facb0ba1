"""A run whose server dies, started again with the same command, ends like an undisturbed one."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from subprocess import Popen

import pytest

from motion_adapt.flows.reports.run_report import Report
from tests.flows.conftest import Home, child_environment
from tests.flows.servers import BIN, free_port, kill, running, serving, training_begun, wait_until
from tests.flows.test_killed import check_the_end

pytestmark = pytest.mark.slow
Serve = Callable[[], AbstractContextManager["Popen[bytes]"]]


def lose_the_server_in_training(
    serve: Serve, home: Home, undisturbed: Home, env: dict[str, str], options: Sequence[object] = ()
) -> tuple[int, str]:
    """Start a run, kill its server, and run it again with a new server. Returns the first exit status and output."""
    log = home.path / "log"
    command = [BIN / "motion-adapt", "adapt", home.clips, *home.options(), *options]
    with serve() as server, running(command, env, log) as program:
        wait_until(lambda: training_begun(Path(home.place.scratch)), program, log)
        kill(server)
        status = program.wait(600)
    told = log.read_text()
    assert "Traceback" not in told
    assert home.digests() <= undisturbed.digests()
    with serve():
        with running(command, env, log) as program:
            assert program.wait(600) == 0, log.read_text()
        check_the_end(home, undisturbed)
    return status, told


def test_a_run_is_started_again_after_the_prefect_server_died(
    adapted: tuple[Home, Report], home: Home
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}/api"
    env = {**child_environment(home.path / "prefect"), "PREFECT_API_URL": url}
    command = [BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    serve = partial(serving, command, f"{url}/health", env, home.path / "server.log")
    lose_the_server_in_training(serve, home, adapted[0], env)


def test_a_run_is_started_again_after_the_mlflow_server_died(
    adapted: tuple[Home, Report], home: Home
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    env = {**child_environment(home.path / "prefect"), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    command = [
        BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1",
        "--backend-store-uri", f"sqlite:///{home.path}/mlflow.db",
        "--artifacts-destination", home.path / "mlflow-artifacts",
    ]  # fmt: skip
    serve = partial(serving, command, f"{url}/health", env, home.path / "server.log")
    status, told = lose_the_server_in_training(serve, home, adapted[0], env, ["--tracking-uri", url])
    assert status == 1
    assert "MLflow" in told
