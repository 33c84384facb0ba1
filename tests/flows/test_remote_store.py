"""The steps of docs/how-to/remote-stores.md, word for word: a run with an S3 store, killed and started again."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.tasks.runtime.place import Place
from tests.flows.conftest import Home
from tests.flows.servers import free_port, kill, training_begun, wait_until
from tests.flows.terminal import Terminal, blocks
from tests.flows.test_killed import check_the_end
from tests.test_docs import ROOT

PAGE = ROOT / "docs" / "how-to" / "remote-stores.md"


@dataclass(frozen=True)
class RemoteHome(Home):
    """A home whose store is the one on the page."""

    @property
    def place(self) -> Place:
        scratch = self.path / "motion-adapt" / "scratch"
        return Place(store="s3://bucket/motion-adapt", scratch=str(scratch), device="cpu", threads=1)

    def options(self, *start: str) -> list[str]:
        """Return all options except the store, which the page names."""
        _, _, *rest = super().options(*start)
        return rest


@pytest.mark.slow
def test_the_page_works_word_for_word_and_gives_the_same_bytes(
    adapted: tuple[Home, Report], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, _ = adapted
    remote = RemoteHome(home.path, home.weights)
    install, serve, point, make, adapt = next(blocks(PAGE, "To see it work on one machine"))
    assert install.startswith("pip install")  # already installed where the tests run
    port = free_port()
    terminal = Terminal(home.path, {"5000": port, "adapt videos": f"adapt {home.clips}"})
    terminal.run(point)
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, terminal.environment[name])
    S3FileSystem.clear_instance_cache()  # an instance cached by another test has another server
    with terminal.left_running(serve, f"http://127.0.0.1:{port}/moto-api/"):
        terminal.run(make)
        line = " ".join([adapt, *(f"'{option}'" for option in remote.options())])
        with terminal.left_running(line) as program:
            wait_until(lambda: training_begun(Path(remote.place.scratch)), program, terminal.log(line))
            kill(program)
        assert remote.digests() <= undisturbed.digests()
        terminal.run(line)
        check_the_end(remote, undisturbed)
        terminal.run("motion-adapt store verify --store s3://bucket/motion-adapt")
    S3FileSystem.clear_instance_cache()
