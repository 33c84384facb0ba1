"""What containers and company networks lack, a command makes up for, or says in one line what is wrong."""

import os
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from motion_adapt.flows.cli.prefect_settings import require_prefect
from motion_adapt.flows.run import prefect_server
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.prefect_server import begin_server

START = """
import sys
import typer
from motion_adapt.flows.cli.launch import errors
from motion_adapt.flows.cli.prefect_settings import require_prefect
try:
    with errors(verbose=False, store=sys.argv[1]):
        require_prefect()
        from motion_adapt.flows.run.prefect_server import begin_server
        with begin_server() as server:
            print(server)
except typer.Exit as ended:
    sys.exit(ended.exit_code)
"""
# as a command does: the server starts, libraries are imported, and the run waits for it
BEGUN = START.replace("begin_server() as", "(begin_server(), time.sleep(3), begin_server())[-1] as").replace(
    "import sys", "import sys, time"
)
SHOW = """
import getpass, os, sys
from pathlib import Path
from motion_adapt.flows.cli.environment import quiet
if len(sys.argv) > 2:
    os.setuid(int(sys.argv[2]))
dropped = quiet(store=sys.argv[1])
if len(sys.argv) == 2:
    import httpx
    httpx.Client(verify=False)  # it parses all of them
proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
print([getpass.getuser(), str(Path.home()), os.environ.get("PREFECT_HOME"), proxies, dropped])
"""
NAMELESS = 61234  # a user that no system knows
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a name")


def run(program: str, folder: Path, *, user: int | None = None, **environment: str) -> tuple[int, str, str]:
    """Run a program in an environment with hardly anything in it; its status, output and errors."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "store"), *([str(user)] if user else [])],
        env={**kept, **environment}, cwd=folder, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def shown(folder: Path, **environment: str) -> list[object]:
    status, printed, errors = run(SHOW, folder, **environment)
    assert status == 0, errors
    return list(eval(printed))


def test_a_home_that_can_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    _, home, prefect, *_ = shown(tmp_path, HOME=str(tmp_path / "home"))
    assert (home, prefect) == (str(tmp_path / "home"), None)
    _, _, prefect, *_ = shown(tmp_path, HOME="/proc/none", PREFECT_HOME=str(tmp_path / "mine"))
    assert prefect == str(tmp_path / "mine")


def test_prefect_keeps_its_files_beside_the_store_if_the_home_cannot_be_written(tmp_path: Path) -> None:
    _, _, prefect, *_ = shown(tmp_path, HOME="/proc/none")
    assert prefect == str(tmp_path / "prefect")


def test_this_machine_is_reached_without_a_proxy(tmp_path: Path) -> None:
    proxy = "http://proxy.invalid:3128"
    *_, proxies, dropped = shown(
        tmp_path, HOME=str(tmp_path), HTTP_PROXY=proxy, ALL_PROXY="socks4://x:1", all_proxy="socks://x:1",
        no_proxy="intra.net",
    )  # fmt: skip
    spared = "intra.net,127.0.0.1,localhost,::1"
    assert proxies == {"HTTP_PROXY": proxy, "no_proxy": spared, "NO_PROXY": spared}
    assert [sentence.split()[3] for sentence in dropped] == ["ALL_PROXY", "all_proxy"]


def test_what_the_client_cannot_parse_is_left_out(tmp_path: Path) -> None:
    *_, proxies, dropped = shown(
        tmp_path, HOME=str(tmp_path), HTTP_PROXY="ftp://me:secret@proxy.invalid:21", https_proxy="proxy.invalid:3128",
        Http_Proxy="http://[::1", NO_PROXY="fe80::/10,[::1] intra.net,[fd00::1], ::1/128,10.0.0.0/8,intra.net:http",
    )  # fmt: skip
    spared = "::1,intra.net,fd00::1,10.0.0.0/8,127.0.0.1,localhost"
    assert proxies == {"https_proxy": "proxy.invalid:3128", "no_proxy": spared, "NO_PROXY": spared}
    assert len(dropped) == 2 and not any("secret" in str(sentence) for sentence in dropped)


@AS_ROOT
def test_a_user_without_a_name_and_a_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:3]:  # pytest's own, closed to others
        folder.chmod(0o755)
    status, printed, errors = run(SHOW, tmp_path, user=NAMELESS)
    assert status == 0, errors
    assert eval(printed)[:3] == [f"uid{NAMELESS}", str(tmp_path), str(tmp_path / "prefect")]


@pytest.mark.slow
def test_the_server_starts_behind_proxies_and_without_a_home(tmp_path: Path) -> None:
    bad = {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9", "HOME": "/proc/none"}
    bad["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "500"  # on a busy machine everything takes long
    status, printed, errors = run(START, tmp_path, **bad)
    assert status == 0, errors
    assert "started in" in printed


@pytest.mark.parametrize("ending", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_server_that_ends_at_once_is_told_of_in_one_line(tmp_path: Path, ending: int) -> None:
    """Prefect itself starts a server that ends with status 3 again, without end."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if any('uvicorn' in part for part in sys.orig_argv):\n"
        "    print('started', file=open('starts', 'a'), flush=True)\n"
        f"    os.write(2, b'no such table\\n')\n    os._exit({ending})\n"
    )
    status, _, errors = run(BEGUN, tmp_path, HOME=str(tmp_path), PYTHONPATH=str(tmp_path))
    assert status == 1
    told = f"error the Prefect server of this run ended at once (status {ending}): no such table"
    assert errors.strip() == told, errors
    assert (tmp_path / "starts").read_text().split() == ["started"]


@pytest.mark.slow
def test_one_temporary_server_serves_a_process_and_another_follows_if_it_dies(tmp_path: Path) -> None:
    program = """
import os
from motion_adapt.flows.cli.environment import quiet
quiet()
from motion_adapt.flows.run.prefect_server import TemporaryServer, begin_server
def address():
    with begin_server():
        return os.environ["PREFECT_API_URL"]
first, again = address(), address()
TemporaryServer.of_this_process(False).process.kill()
TemporaryServer.of_this_process(False).process.wait()
print(first == again, first == address(), "PREFECT_API_URL" in os.environ)
"""
    status, printed, errors = run(program, tmp_path, HOME=str(tmp_path))
    assert (status, printed.split()) == (0, ["True", "False", "False"]), errors


@pytest.mark.slow
def test_a_damaged_database_of_prefect_is_named(tmp_path: Path) -> None:
    database = tmp_path / ".prefect" / "prefect.db"
    database.parent.mkdir()
    database.write_text("no database")
    status, _, errors = run(START, tmp_path, HOME=str(tmp_path))
    assert status == 1 and errors.count("\n") == 1, errors
    assert f"cannot read its database {database} (file is not a database): move it away" in errors
    database.unlink()
    with closing(sqlite3.connect(database)) as opened, opened:  # as of another version of Prefect
        opened.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        opened.execute("INSERT INTO alembic_version VALUES ('0123')")
    status, _, errors = run(START, tmp_path, HOME=str(tmp_path))
    assert status == 1 and errors.count("\n") == 1, errors
    assert "CommandError: Can't locate revision" in errors and errors.endswith(
        f"its database is {database}\n"
    )


@pytest.mark.slow
def test_a_wrong_variable_of_prefect_is_named(tmp_path: Path) -> None:
    status, _, errors = run(START, tmp_path, HOME=str(tmp_path), PREFECT_API_ENABLE_HTTP2="perhaps")
    assert status == 1 and errors.count("\n") == 1 and "enable_http2=perhaps" in errors, errors


def test_wrong_settings_of_prefect_are_told_of_before_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "profiles.toml").write_text("not toml [[")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_PROFILES_PATH", raising=False)
    with pytest.raises(
        RunError, match=r"cannot read its settings in .*profiles.toml \(.*\): correct that file"
    ):
        require_prefect()
    monkeypatch.setenv("PREFECT_HOME", "/proc/none")
    with pytest.raises(RunError, match="PREFECT_HOME=/proc/none cannot be written"):
        require_prefect()


class Answers(BaseHTTPRequestHandler):
    """Answers every request with the status in the server's class, and a page that is no JSON."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"<html></html>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (200, "is not a Prefect API"),
        (404, "status 404: PREFECT_API_URL must name"),
        (401, "status 401: set PREFECT_API_KEY"),
        (500, "status 500: its own log says why"),
    ],
)
def test_another_server_than_prefects_is_told_of(status: int, told: str) -> None:
    handler = type("Answering", (Answers,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api"
        with (
            temporary_settings(updates={PREFECT_API_URL: url}),
            pytest.raises(RunError, match=told),
            begin_server(),
        ):
            pass
        server.shutdown()


@pytest.mark.parametrize("listening", [True, False])
def test_a_named_server_that_does_not_answer(listening: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_server, "ANSWER", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:
            silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        told = f"no Prefect server answers at {url} "
        with (
            temporary_settings(updates={PREFECT_API_URL: url}),
            pytest.raises(RunError, match=told),
            begin_server(),
        ):
            pass
