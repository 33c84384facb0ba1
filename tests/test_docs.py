"""The documentation matches the code: settings, command lines, examples, deployments, files, links."""

import ast
import dataclasses
import inspect
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise, takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.cli.options import settings_of, with_sam
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.models.quality.gate import RULES

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for room in ("*", "docs/**/*", "benchmarks/*", "models/weights/*/*")
    for page in ROOT.glob(f"{room}.md")
)
CONTRIBUTING, MAP = ROOT / "CONTRIBUTING.md", ROOT / "docs" / "explanation" / "architecture.md"
WIDTH = 120
SHELLS = ("sh", "console")


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """Return (language, body) of every fenced block."""
    for block in re.finditer(r"^ *```(\w*)\n(.*?)^ *```", text, re.M | re.S):
        yield block[1], block[2]


def without_blocks(text: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)


def command_lines(page: Path) -> list[str]:
    """Return every command in the page's shell blocks, continued lines joined, and `motion-adapt ...` in sentences."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line.strip()
        for language, body in fenced(text)
        if language in SHELLS
        for line in body.replace("\\\n", " ").splitlines()
    ]
    spans = re.findall(r"`(motion-adapt [^`]+)`", without_blocks(text))
    return lines + [" ".join(span.split()) for span in spans]


def calls(program: str) -> list[Any]:
    """Return the arguments of every call of a program on any page, with the variables set before it."""
    found = []
    for page in PAGES:
        for line in command_lines(page):
            words = shlex.split(line, comments=True)
            variables = list(takewhile(lambda word: "=" in word, words))
            if words[len(variables) : len(variables) + 1] == [program]:
                arguments = words[len(variables) + 1 :]
                found.append(pytest.param(variables, arguments, id=f"{page.name}: {' '.join(arguments)}"))
    return found


def parsed(arguments: list[str]) -> dict[str, Any]:
    """Parse arguments with the command line's own parser, without running anything. Wrong usage raises."""
    command: Any = typer.main.get_command(app)
    try:
        context = command.make_context("motion-adapt", list(arguments))
    except typer.Exit:  # an option such as --version, which exits
        return {}
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return dict(context.params)


def test_settings_page_is_up_to_date() -> None:
    module = runpy.run_path(str(ROOT / "docs" / "settings.py"))
    assert module["PAGE"].read_text(encoding="utf-8") == module["page"](), "run: python docs/settings.py"


@pytest.mark.parametrize(("variables", "arguments"), calls("motion-adapt"))
def test_commands_parse(variables: list[str], arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in variables:
        monkeypatch.setenv(*variable.split("=", 1))
    given = parsed(arguments)
    if "preset" in given:
        settings_of(given["preset"], None, with_sam(given.get("set_"), given.get("sam")))


def test_the_command_line_page_names_every_command_and_option() -> None:
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")

    def names(command: Any, prefix: str = "") -> Iterator[str]:
        for name, inner in getattr(command, "commands", {}).items():
            yield from names(inner, f"{prefix}{name} ")
        if not hasattr(command, "commands"):
            yield prefix.strip()
            yield from (option for item in command.params for option in item.opts if option[0] == "-")

    missing = {name for name in names(typer.main.get_command(app)) if f"`{name}" not in page}
    assert not missing


def test_the_json_page_names_every_field() -> None:
    page = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    assert not {field.name for field in dataclasses.fields(Report) if f"| `{field.name}` |" not in page}


def test_the_artifacts_page_names_every_stage() -> None:
    page = (ROOT / "docs" / "reference" / "artifacts.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tasks").glob("*.py"))
    stages = re.findall(r'^@stage\("([^"]+)"', code, re.M)
    assert stages
    assert not {stage for stage in stages if f"`{stage}`" not in page}


def test_the_rounds_page_has_the_thresholds_of_the_gate() -> None:
    page = (ROOT / "docs" / "explanation" / "rounds.md").read_text(encoding="utf-8")
    table, _, _ = page.partition("A collapse needs no comparison")
    rows = [
        (row[1], float(row[2]), float(row[3]))
        for row in re.finditer(r"^\| `(\w+)` \|.*\| ([\d.]+) \| ([\d.]+) \|$", table, re.M)
    ]
    assert rows == [(rule.measure, rule.hold, rule.roll_back) for rule in RULES]


def test_an_invented_option_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed(["adapt", "videos", "--no-such-option"])


def test_toml_examples_are_settings(tmp_path: Path) -> None:
    examples = [body for page in PAGES for kind, body in fenced(page.read_text("utf-8")) if kind == "toml"]
    assert examples
    for example in examples:
        (tmp_path / "mine.toml").write_text(example, encoding="utf-8")
        settings_of("compact", tmp_path / "mine.toml", None)


@pytest.mark.parametrize(("variables", "arguments"), calls("prefect"))
def test_deployments_that_are_run_exist(variables: list[str], arguments: list[str]) -> None:
    if arguments[:2] != ["deployment", "run"]:
        return
    flow, name = arguments[2].split("/")
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    entrypoint = next(item["entrypoint"] for item in deployments if item["name"] == name)
    module, _, function = entrypoint.rpartition(".")
    assert function == flow
    parameters = inspect.signature(getattr(import_module(module), function).fn).parameters
    for flag, value in pairwise(arguments):
        if flag == "-p":
            assert value.split("=")[0] in parameters


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page, to the first of equal ones."""
    headings = re.findall(r"^#+ +(.+)$", without_blocks(page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_lead_to_one(page: Path) -> None:
    text = without_blocks(page.read_text(encoding="utf-8"))
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


def test_entrypoints_on_the_pages_are_those_of_the_deployments() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    shown = [
        entrypoint
        for page in PAGES
        for language, body in fenced(page.read_text(encoding="utf-8"))
        if language == "yaml"
        for entrypoint in re.findall(r"entrypoint: (\S+)", body)
    ]
    assert shown
    assert set(shown) <= {item["entrypoint"] for item in deployments}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_are_short_but_in_tables(page: Path) -> None:
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    assert not [number for number, line in lines if len(line) > WIDTH and not line.startswith("|")]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name
)
def test_files_that_a_page_names_exist(page: Path) -> None:
    floors = "flows|tasks|models|storage|motion_adapt|tests|docs|benchmarks|examples"
    named = re.findall(rf"`((?:{floors})/[\w./-]*)`", without_blocks(page.read_text(encoding="utf-8")))
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("page", [page for page in PAGES if page != CONTRIBUTING], ids=lambda page: page.name)
def test_imports_of_python_examples_exist(page: Path) -> None:
    for language, body in fenced(page.read_text(encoding="utf-8")):
        for node in ast.walk(ast.parse(body)) if language == "python" else ():
            if isinstance(node, ast.ImportFrom):
                module = import_module(str(node.module))
                assert not [item.name for item in node.names if not hasattr(module, item.name)]


def test_the_map_names_every_room() -> None:
    floors = ("flows", "tasks", "models", "storage", "motion_adapt")
    rooms = [file.parent for floor in floors for file in (ROOT / floor).rglob("__init__.py")]
    rows = MAP.read_text(encoding="utf-8")
    assert not [room for room in rooms if f"| `{room.relative_to(ROOT)}/` |" not in rows]


def test_the_map_knows_where_every_command_is() -> None:
    _, _, section = MAP.read_text(encoding="utf-8").partition("## Which file is the command")
    rows = dict(re.findall(r"^\| `([\w-]+)[^`]*` \| `([^`]+)` \|", section, re.M))
    commands: Any = typer.main.get_command(app)
    assert set(rows) == set(commands.commands)
    for name, path in rows.items():
        assert f"def {name.replace('-', '_')}" in (ROOT / path).read_text(encoding="utf-8"), name


def test_the_stage_that_contributing_adds_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Create its files in the order of the page, in memory only; the last one is its test, which is run."""
    blocks = [body for kind, body in fenced(CONTRIBUTING.read_text("utf-8")) if kind == "python"]
    files = [body for body in blocks if body.startswith("# ")]
    assert len(files) == len(blocks) - 1  # the remaining block is part of a function
    for body in files:
        path = body.splitlines()[0].removeprefix("# ")
        name = ".".join(("motion_adapt", *Path(path).with_suffix("").parts))
        known = import_module(name) if (ROOT / path).exists() else ModuleType(name)
        code: dict[str, Any] = {**vars(known), "__name__": name}
        exec(compile(body, path, "exec"), code)
        module = ModuleType(name)
        vars(module).update(code)
        monkeypatch.setitem(sys.modules, name, module)
    code["test_a_label_that_flickers_is_removed"](tmp_path)
