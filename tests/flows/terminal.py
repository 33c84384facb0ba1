"""A terminal that runs the shell blocks of the documentation word for word."""

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from tests.flows.conftest import child_environment
from tests.flows.servers import BIN, PATIENCE, running, serving
from tests.test_docs import fenced


def blocks(page: Path, heading: str) -> Iterator[list[str]]:
    """Return the shell blocks from a line of a page to the next heading, line by line."""
    section = page.read_text(encoding="utf-8").split(heading)[1].split("\n## ")[0]
    for _, body in fenced(section):
        yield body.splitlines()


class Terminal:
    """Runs lines of a shell block; `replaced` maps names on the page to names in this test."""

    def __init__(self, home: Path, replaced: Mapping[str, object]) -> None:
        self.home = self.cwd = home
        self.replaced = replaced
        self.environment = child_environment(home / "prefect")
        self.environment |= {"PATH": f"{BIN}:{self.environment['PATH']}"}

    def words(self, line: str) -> list[str]:
        for name, here in self.replaced.items():
            line = line.replace(name, str(here))
        return shlex.split(line.removesuffix(" &"))

    def run(self, line: str, *more: str) -> str:
        """Run a line, which must succeed. Returns what it prints."""
        program, *rest = self.words(line)
        if program == "cd":
            self.cwd, self.environment["PWD"] = Path(rest[0]), rest[0]
            return ""
        if program == "export":
            self.environment |= dict(word.split("=", 1) for word in rest)
            return ""
        done = subprocess.run(
            [program, *rest, *more],
            env=self.environment, cwd=self.cwd, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def log(self, line: str) -> Path:
        """Return the log file of a line that keeps running."""
        return self.home / f"{'-'.join(self.words(line)[:2])}.log"

    def left_running(
        self, line: str, answers_at: str | None = None
    ) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """Run a line during the block; a server must answer at its URL before the block starts."""
        words, log = self.words(line), self.log(line)
        if answers_at:
            return serving(words, answers_at, self.environment, log)
        return running(words, self.environment, log)
