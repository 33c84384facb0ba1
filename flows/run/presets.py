"""Settings from a preset, the benchmark at hand, a TOML file, the environment and the command line: the later wins.

motion-adapt adapt clips --preset paper --config mine.toml --set flow.updates=12
MOTION_ADAPT_FLOW__ESTIMATOR=dis motion-adapt adapt clips
"""

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

from motion_adapt.storage.clips.find_clips import benchmark
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.tasks.settings import Settings

PRESETS: dict[str, dict[str, Any]] = {
    # Two CPU cores, no download: OpenCV's flow and the project's own small networks.
    "compact": {},
    # The paper's set-up (A.3), for a GPU.
    "paper": {
        "flow": {"estimator": "raft_large", "weights": "C_T_V1", "updates": 20, "keep_padding": True},
        "features": {
            "selector": {"backbone": "vit_small_patch16_224.dino", "reference": True},
            "corrector": {"backbone": "vit_small_patch8_224.dino", "reference": True},
        },
        "proposal": {"chunk": 30, "overlap": 10, "contrast": 0.0},
        "selection": {"method": "error_map", "limit": 104},
        "oclr_finetuning": {"frames": 30, "steps": 2000, "batch": 2},
        "corrector_adaptation": {"steps": 2000},
        "pretrain": {
            "size": "paper",
            "steps": 600_000,
            "exemplars_by": "selector",
            "checkpoint_every": 1000,
        },
    },
}

PREFIX = "MOTION_ADAPT_"
# Variables of that prefix that are no settings: where tasks run (flows/run/runners.py), and what the tests read.
OTHER_VARIABLES = {"RUNNER", "WORKERS", "DASK_ADDRESS", "DATA", "WEIGHTS", "PARITY", "METRICS", "SOAK"}


class SettingsError(ValueError):
    """A setting that does not exist or has a value that it cannot have."""


class _Environment(BaseSettings, Settings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )


def load_settings(
    preset: str = "compact",
    *,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    data_set: DataSet | None = None,
) -> Settings:
    """The settings of a run.

    Args:
        preset: a name of `PRESETS`.
        config: a TOML file with any of the fields of `Settings`.
        overrides: `a.b=value` each; the value is JSON where it parses as JSON, else text.
        data_set: a benchmark, whose gaps and protocol are the default.

    Raises:
        SettingsError: names the field, what is wrong, and the nearest field that exists.
    """
    if preset not in PRESETS:
        raise SettingsError(f"there is no preset '{preset}'; there are {', '.join(PRESETS)}")
    layers: list[Mapping[str, Any]] = [PRESETS[preset], defaults_of(data_set)]
    if config:
        try:
            layers.append(tomllib.loads(config.read_text(encoding="utf-8")))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{config}: {error}") from None
    layers.append(read_environment())
    layers += [parse_override(text) for text in overrides]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, layer)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError("; ".join(explain(item) for item in error.errors())) from None


def read_environment() -> dict[str, Any]:
    """The settings that variables of the environment name, as nested mappings.

    Raises:
        SettingsError: for a variable with the prefix that names no setting, or a group that is no JSON.
    """
    names = [name.upper().replace(".", "__") for name in field_names(groups=True)]
    for variable in sorted(os.environ):
        given = variable.upper()  # as pydantic reads them
        name = given.removeprefix(PREFIX)
        if given.startswith(PREFIX) and name not in (*names, *OTHER_VARIABLES):
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"; did you mean '{PREFIX}{near[0]}'?" if near else ""
            raise SettingsError(f"the environment has {variable}, and there is no such setting{hint}")
    try:
        return EnvSettingsSource(_Environment)()
    except UnreadableVariable as error:
        raise SettingsError(f"{error}: {error.__cause__}; a group of settings wants JSON") from None


def known_benchmark(source: str | Path, dataset: str | None) -> DataSet | None:
    """The benchmark that a source is said to be or looks like; None: somebody's own clips.

    Raises:
        SettingsError: for a name that no benchmark has.
    """
    try:
        return benchmark(Path(source), dataset)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def defaults_of(known: DataSet | None) -> dict[str, Any]:
    """A benchmark's gaps and protocol as fields of `Settings`; anything said about them wins."""
    if known is None:
        return {}
    inference, adaptation = known.gaps
    return {
        "gaps": {"inference": inference, "adaptation": adaptation},
        "evaluation": {"protocol": known.protocol, "skip_ends": known.skip_ends},
    }


def parse_override(text: str) -> dict[str, Any]:
    """`a.b=value` as a nested mapping."""
    name, equals, value = text.partition("=")
    if not equals or not all(name.split(".")):
        raise SettingsError(f"--set wants field=value, for example flow.estimator=dis; got '{text}'")
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        parsed = None if value.lower() in ("none", "") else value
    for part in reversed(name.split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the fields of `over` in it; mappings merge, all else is replaced."""
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def explain(error: Any) -> str:
    """One pydantic error in words, with the nearest field name where a field does not exist."""
    path = [str(part) for part in error["loc"]]
    if error["type"] != "extra_forbidden":
        message = str(error["msg"]).removeprefix("Value error, ")
        return f"{'.'.join(path)}: {message}" if path else message
    near = difflib.get_close_matches(".".join(path), field_names(), n=1, cutoff=0.5)
    return f"there is no setting '{'.'.join(path)}'" + (f"; did you mean '{near[0]}'?" if near else "")


def field_names(model: type[BaseModel] = Settings, prefix: str = "", *, groups: bool = False) -> list[str]:
    """Dotted names of all settings, and of their groups if wanted."""
    names = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += [f"{prefix}{name}"] if groups else []
            names += field_names(inner, f"{prefix}{name}.", groups=groups)
        else:
            names.append(f"{prefix}{name}")
    return names
