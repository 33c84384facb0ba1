"""Write docs/reference/settings.md from the settings' models; tests/test_docs.py checks that it is up to date.

python docs/settings.py
"""

import inspect
import sys
import textwrap
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "settings.md"
WIDTH = 120
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}

HEAD = """\
# Settings

<!-- Written by `python docs/settings.py` from tasks/settings.py; do not edit by hand. -->

This page lists every setting of a run. A setting can come from five places; a later one overrides an earlier one:

1. the preset: `--preset compact` (default) or `--preset paper`
2. the data set, if it is a known benchmark: [its gaps and its protocol](../how-to/datasets.md#adapt-and-score)
3. a TOML file: `--config mine.toml`, one `[table]` per section below
4. the environment: `MOTION_ADAPT_` and the name in capitals, with `__` for each dot: `MOTION_ADAPT_FLOW__ESTIMATOR=dis`
5. the command line: `--set flow.updates=12`, which may be repeated. `--set 'flow.resolution=[240,416]'` takes JSON, and
   `--set flow.resolution=none` unsets a setting

An unknown name is an error that suggests the nearest one (exit status 2). A scheduled run has neither the file nor the
command line. It takes the parameter `settings` of its deployment or, without that, the deployment's `preset` and the
worker's environment ([deployments](../how-to/deployments.md#with-other-parameters)).

A stage's settings are part of the keys of its artifacts. Changing one recomputes that stage and all that follows from
it, and nothing else. These are not part of keys:

- settings that name files or folders, since only their content counts: `flow.folder`, `proposal.folder`,
  `selection.given`, `features.*.checkpoint`, `pretrain.photos`, `pretrain.silhouettes`
- `checkpoint_every`, which sets how often a training saves its state, and `pretrain.workers`
- `frames.keep`, which sets where native frames are read from
- `export.fill`, which adds masks and changes no others
"""


def page() -> str:
    """Return the whole page."""
    sys.path.insert(0, str(ROOT))
    from motion_adapt.flows.run.presets import PRESETS
    from motion_adapt.tasks.settings import Settings

    paper = Settings.model_validate(PRESETS["paper"])
    parts = [HEAD, "## General\n", *table(Settings, Settings(), paper, "")]
    return "\n".join([*parts, *sections(Settings, Settings(), paper, "")]) + "\n"


def sections(model: type[BaseModel], compact: BaseModel, paper: BaseModel, prefix: str) -> list[str]:
    """Return one table with a heading per group of settings, followed by those of the groups inside it."""
    lines: list[str] = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        if not is_group(inner):
            continue
        dotted, ours, theirs = f"{prefix}{name}", getattr(compact, name), getattr(paper, name)
        lines += [
            "",
            f"## {dotted}",
            "",
            textwrap.fill(inspect.cleandoc(inner.__doc__ or ""), WIDTH, break_on_hyphens=False),
            "",
        ]
        lines += [*table(inner, ours, theirs, f"{dotted}."), *sections(inner, ours, theirs, f"{dotted}.")]
    return lines


def table(model: type[BaseModel], compact: BaseModel, paper: BaseModel, prefix: str) -> list[str]:
    """Return the table of one group's fields, with the defaults of both presets."""
    fields = [(name, info) for name, info in model.model_fields.items() if not is_group(info.annotation)]
    if not fields:
        return ["Two groups, each with the settings below it."]
    rows = ["| setting | value | `compact` | `paper` | meaning |", "|---|---|---|---|---|"]
    for name, info in fields:
        cells = [f"`{prefix}{name}`", kind(info), shown(getattr(compact, name)), shown(getattr(paper, name))]
        meaning = (info.description or "").replace("<", "&lt;")
        rows.append("| " + " | ".join([*cells, meaning]) + " |")
    return rows


def is_group(annotation: Any) -> bool:
    """Return whether a field is a group of settings."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def kind(info: FieldInfo) -> str:
    """Describe the values that a field accepts."""
    bounds = [f"{sign} {getattr(item, name)}" for item in info.metadata for name, sign in SIGNS.items()
              if getattr(item, name, None) is not None]  # fmt: skip
    return " ".join([type_name(info.annotation), ", ".join(bounds)]).strip()


def type_name(annotation: Any) -> str:
    """Describe a type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(argument) for argument in arguments)
    if origin is tuple:
        return "list of numbers" if arguments[-1] is Ellipsis else "[height, width]"
    names = {int: "integer", float: "number", str: "text", bool: "true or false", type(None): "none"}
    return names[annotation]


def shown(value: Any) -> str:
    """Format a default as a user would write it."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
