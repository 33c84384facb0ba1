"""A server that dies under a run: started again, with the same command, the run ends as an undisturbed one."""

import sys
from pathlib import Path

import pytest

from flows.report import Report
from tests.flows.conftest import Home, child_environment
from tests.flows.servers import LOOPBACK, answers, free_port, kill, listening, running, wait_until
from tests.flows.test_killed import check_the_end

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent


def in_training(home: Home) -> bool:
    return bool(list(Path(home.place.scratch).glob("adapted-corrector-*.pt")))


def test_a_run_is_started_again_after_the_prefect_server_died(
    adapted: tuple[Home, Report], home: Home
) -> None:
    undisturbed, _ = adapted
    port, log, server_log = free_port(), home.path / "log", home.path / "server.log"
    env = {**child_environment(home.path / "prefect"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    serve = [BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    command = [BIN / "motion-adapt", "adapt", home.clips, *home.options()]
    with running(serve, env, server_log) as server:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/api/health"), server, server_log)
        assert listening(server) == {"127.0.0.1"}
        with running(command, env, log) as program:
            wait_until(lambda: in_training(home), program, log)
            kill(server)
            program.wait(600)
            assert "Traceback" not in log.read_text()
    assert home.digests() <= undisturbed.digests()
    with running(serve, env, server_log) as server:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/api/health"), server, server_log)
        with running(command, env, log) as program:
            assert program.wait(600) == 0, log.read_text()
    check_the_end(home, undisturbed)


def test_a_run_is_started_again_after_the_mlflow_server_died(
    adapted: tuple[Home, Report], home: Home
) -> None:
    undisturbed, _ = adapted
    port, log, server_log = free_port(), home.path / "log", home.path / "server.log"
    env = {**child_environment(home.path / "prefect"), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    database = f"sqlite:///{home.path}/mlflow.db"
    serve = [
        BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1",
        "--backend-store-uri", database, "--artifacts-destination", home.path / "mlflow-artifacts",
    ]  # fmt: skip
    command = [BIN / "motion-adapt", "adapt", home.clips, *home.options()]
    command += ["--tracking-uri", f"http://127.0.0.1:{port}"]
    with running(serve, env, server_log) as server:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), server, server_log)
        assert listening(server) <= LOOPBACK
        with running(command, env, log) as program:
            wait_until(lambda: in_training(home), program, log)
            kill(server)
            assert program.wait(600) == 1
            assert "Traceback" not in log.read_text()
            assert "MLflow" in log.read_text()
    assert home.digests() <= undisturbed.digests()
    with running(serve, env, server_log) as server:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), server, server_log)
        with running(command, env, log) as program:
            assert program.wait(600) == 0, log.read_text()
        check_the_end(home, undisturbed)
