"""A server that is no MLflow server, or none at all, is told of within seconds and in one line."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from motion_adapt.flows.run import tracking_servers
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.flows.run.tracking_servers import within


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
    assert Tracking(uri=f"{server.replace('http', 'HTTP')}/mlflow").reach() == f"{server}/mlflow"
    with pytest.raises(
        RunError, match=rf"^--tracking-uri {server}: the server there is not an MLflow server"
    ):
        Tracking(uri=server).reach()


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_no_server_is_told_of(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"{scheme}://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(RunError, match="no MLflow server answers there"):
            Tracking(uri=uri).reach()


def test_a_server_that_never_answers_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_servers, "PATIENCE", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(RunError, match="no MLflow server answers there"):
            Tracking(uri=f"http://127.0.0.1:{silent.getsockname()[1]}").reach()


def test_a_look_that_takes_too_long_is_left() -> None:
    with pytest.raises(RunError, match="named: nothing answers there within 0 s"):
        within(0.1, lambda: time.sleep(60), "named")


def test_an_unknown_scheme_is_told_of_without_its_password() -> None:
    with pytest.raises(RunError) as told:
        Tracking(uri="oracle://me:secret@host/mlflow").open("clips")
    assert "oracle" in str(told.value) and "secret" not in str(told.value)
    assert str(told.value).endswith("name a database sqlite:///FILE or a server http://HOST:PORT")


def test_a_database_server_without_its_package_is_told_of() -> None:
    with pytest.raises(RunError, match=r"mssql\+pyodbc://...@host/db needs the package pyodbc"):
        Tracking(uri="mssql+pyodbc://me:secret@host/db").reach()


def test_a_database_server_that_is_not_there_is_told_of() -> None:
    pytest.importorskip("asyncpg")  # of Prefect's own packages
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(RunError, match=f"no database answers at 127.0.0.1:{port}"):
            Tracking(uri=f"postgresql+asyncpg://me:secret@127.0.0.1:{port}/db").reach()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "names the folder"),
        ("folder", r"names the folder .*folder: name a file in it, as in sqlite:///.*folder/mlflow\.db"),
        ("text.db", "file is not a database; name another file"),
        ("text.db/x.db", r"cannot be opened \((Not a directory|File exists)\)"),
        ("what?/x.db", "has a question mark in its path"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(RunError, match=told):
        Tracking(uri=f"sqlite:///{name}").reach()


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{}/mlflow.db"),
        ("SQLite+pysqlite:///new/mlflow.db?timeout=10", "sqlite:///{}/new/mlflow.db?timeout=10"),
    ],
)
def test_a_database_is_named_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, uri: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Tracking(uri=given).reach() == uri.format(tmp_path.resolve())


@pytest.mark.slow
def test_a_project_may_have_a_question_mark_in_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "what now?").mkdir()
    monkeypatch.chdir(tmp_path / "what now?")
    tracker = Tracking().open("clips")
    run = tracker.begin(kind="adaptation", key="key", name="name", params={})
    tracker.json(run, [1], "numbers")
    assert Tracking().open("clips", create=False).read(run, "numbers.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["what now?"]
