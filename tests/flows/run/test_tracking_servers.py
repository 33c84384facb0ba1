"""A server that is no MLflow server, or none at all, is told of within seconds and in one line."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.tracking import Tracking


class Answers(BaseHTTPRequestHandler):
    """Answers /health as MLflow does below /mlflow, and nothing elsewhere."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/mlflow/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as there:
        threading.Thread(target=there.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{there.server_port}"
        there.shutdown()


def test_another_server_is_told_of(server: str) -> None:
    Tracking(uri=f"{server}/mlflow").require_server()
    with pytest.raises(
        RunError, match=rf"^--tracking-uri {server}: the server there is not an MLflow server"
    ):
        Tracking(uri=server).require_server()


def test_no_server_is_told_of() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(RunError, match="no MLflow server answers there"):
            Tracking(uri=uri).require_server()


def test_an_unknown_scheme_is_told_of_without_its_password() -> None:
    with pytest.raises(RunError) as told:
        Tracking(uri="oracle://me:secret@host/mlflow").open("clips")
    assert "oracle" in str(told.value) and "secret" not in str(told.value)
