"""What containers and company networks lack, a command makes up for, or says in one line what is wrong."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

START = """
import sys
from motion_adapt.flows.cli.environment import quiet
quiet(store=sys.argv[1])
import typer
from motion_adapt.flows.cli.launch import errors
try:
    with errors(verbose=False):
        from motion_adapt.flows.run.prefect_server import ensure_server
        print(ensure_server())
except typer.Exit as ended:
    sys.exit(ended.exit_code)
"""
SHOW = """
import getpass, os, sys
from pathlib import Path
from motion_adapt.flows.cli.environment import quiet
if len(sys.argv) > 2:
    os.setuid(int(sys.argv[2]))
quiet(store=sys.argv[1])
proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
print([getpass.getuser(), str(Path.home()), os.environ.get("PREFECT_HOME"), proxies])
"""
NAMELESS = 61234  # a user that no system knows
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a name")


def run(program: str, folder: Path, *, user: int | None = None, **environment: str) -> tuple[int, str, str]:
    """Run a program in an environment with hardly anything in it; its status, output and errors."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "store"), *([str(user)] if user else [])],
        env={**kept, **environment}, cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def shown(folder: Path, **environment: str) -> list[object]:
    status, printed, errors = run(SHOW, folder, **environment)
    assert status == 0, errors
    return list(eval(printed))


def test_a_home_that_can_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    _, home, prefect, _ = shown(tmp_path, HOME=str(tmp_path / "home"))
    assert (home, prefect) == (str(tmp_path / "home"), None)
    _, _, prefect, _ = shown(tmp_path, HOME="/proc/none", PREFECT_HOME=str(tmp_path / "mine"))
    assert prefect == str(tmp_path / "mine")


def test_prefect_keeps_its_files_beside_the_store_if_the_home_cannot_be_written(tmp_path: Path) -> None:
    _, _, prefect, _ = shown(tmp_path, HOME="/proc/none")
    assert prefect == str(tmp_path / "prefect")


def test_this_machine_is_reached_without_a_proxy(tmp_path: Path) -> None:
    proxy = "http://proxy.invalid:3128"
    *_, proxies = shown(
        tmp_path, HOME=str(tmp_path), HTTP_PROXY=proxy, ALL_PROXY="socks4://x:1", all_proxy="socks://x:1",
        no_proxy="intra.net",
    )  # fmt: skip
    spared = "intra.net,127.0.0.1,localhost,::1"
    assert proxies == {"HTTP_PROXY": proxy, "no_proxy": spared, "NO_PROXY": spared}


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
    status, printed, errors = run(START, tmp_path, **bad)
    assert status == 0, errors
    assert "started in" in printed


def test_a_server_that_ends_at_once_is_told_of_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'uvicorn' in sys.orig_argv:\n    os.write(2, b'no such table\\n')\n    os._exit(1)\n"
    )
    status, _, errors = run(START, tmp_path, HOME=str(tmp_path), PYTHONPATH=str(tmp_path))
    assert status == 1
    told = "error the Prefect server of this run ended at once (status 1): no such table"
    assert errors.strip() == told, errors


def test_a_named_server_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/api"
        status, _, errors = run(START, tmp_path, HOME=str(tmp_path), PREFECT_API_URL=url)
    assert status == 1
    assert f"no Prefect server answers at {url}" in errors and "Traceback" not in errors, errors
