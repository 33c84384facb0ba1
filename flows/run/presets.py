"""Settings from a preset, the benchmark, a TOML file, the environment and the command line; later ones win.

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

from motion_adapt.models.inference.planning import PART_LIMIT
from motion_adapt.storage.clips.find_clips import benchmark
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.tasks.settings import Settings

PRESETS: dict[str, dict[str, Any]] = {
    # Two CPU cores, no download: OpenCV's flow and the project's own small networks.
    "compact": {},
    # The paper's set-up (A.3), for a GPU.
    "paper": {
        "adapts": "both",
        "flow": {"estimator": "raft_large", "weights": "C_T_V1", "updates": 20, "keep_padding": True},
        "features": {
            "selector": {"backbone": "vit_small_patch16_224.dino", "reference": True},
            "corrector": {"backbone": "vit_small_patch8_224.dino", "reference": True},
        },
        "proposal": {"chunk": 30, "overlap": 10, "contrast": 0.0},
        "selection": {"method": "error_map", "limit": PART_LIMIT},
        "correction": {"even": False, "borrow": False},
        "smoothing": {"enabled": False},
        "clip_network": {"enabled": False},
        "edges": {"enabled": False},
        "fine_edges": {"enabled": False},
        "pseudo_labels": {"masks": "corrected", "dice": 0.0},
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
# Variables with that prefix that are not settings: where tasks run (flows/run/runners.py), and those of the tests.
OTHER_VARIABLES = {"RUNNER", "WORKERS", "DASK_ADDRESS", "DATA", "WEIGHTS", "PARITY", "METRICS", "SOAK"}


class SettingsError(ValueError):
    """A setting does not exist or has an invalid value."""


class _Environment(BaseSettings, Settings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )


def load_settings(
    preset: str = "compact",
    *,
    config: Path | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    data_set: DataSet | None = None,
) -> Settings:
    """Return the settings of a run.

    >>> settings = load_settings("paper", overrides=["flow.updates=12", "crf.enabled=true"])
    >>> settings.flow.estimator, settings.flow.updates, settings.crf.enabled
    ('raft_large', 12, True)
    >>> load_settings(overrides={"crf.enabld": True})
    Traceback (most recent call last):
    motion_adapt.flows.run.presets.SettingsError: there is no setting 'crf.enabld'; did you mean 'crf.enabled'?

    Args:
        preset: a name in `PRESETS`.
        config: a TOML file with any fields of `Settings`.
        overrides: items `a.b=value`; the value is read as JSON if it is valid JSON, else as text. Or a mapping of
            fields to values, with dotted names or nested as in a TOML file.
        data_set: a benchmark whose gaps and protocol are the defaults.

    Raises:
        SettingsError: if a setting does not exist or is invalid; names the field, the fault and the closest field.
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
    if isinstance(overrides, Mapping):
        layers += [nested(name, value) for name, value in overrides.items()]
    else:
        layers += [parse_override(text) for text in overrides]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, layer)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError("; ".join(explain(item) for item in error.errors())) from None


def read_environment() -> dict[str, Any]:
    """Return the settings given by environment variables, as nested mappings.

    Raises:
        SettingsError: if a variable with the prefix names no setting, or the value of a group is not JSON.
    """
    names = [name.upper().replace(".", "__") for name in field_names(groups=True)]
    for variable in sorted(os.environ):
        given = variable.upper()  # as pydantic reads them
        name = given.removeprefix(PREFIX)
        if given.startswith(PREFIX) and name not in (*names, *OTHER_VARIABLES):
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"; did you mean '{PREFIX}{near[0]}'?" if near else ""
            raise SettingsError(f"the environment has {variable}, but there is no such setting{hint}")
    try:
        return EnvSettingsSource(_Environment)()
    except UnreadableVariable as error:
        raise SettingsError(f"{error}: {error.__cause__}; a group of settings must be JSON") from None


def known_benchmark(source: str | Path, dataset: str | None) -> DataSet | None:
    """Return the benchmark called `dataset` or, without a name, the one that `source` looks like; None if neither.

    Raises:
        SettingsError: if no benchmark has that name.
    """
    try:
        return benchmark(Path(source), dataset)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def defaults_of(known: DataSet | None) -> dict[str, Any]:
    """Return a benchmark's gaps and protocol as fields of `Settings`, to be used as defaults."""
    if known is None:
        return {}
    inference, adaptation = known.gaps
    return {
        "gaps": {"inference": inference, "adaptation": adaptation},
        "evaluation": {"protocol": known.protocol, "skip_ends": known.skip_ends},
    }


def parse_override(text: str) -> dict[str, Any]:
    """Parse `a.b=value` into a nested mapping."""
    name, equals, value = text.partition("=")
    if not equals or not all(name.split(".")):
        raise SettingsError(f"--set needs field=value, for example flow.estimator=dis; got '{text}'")
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        parsed = None if value.lower() in ("none", "") else value
    return nested(name, parsed)


def nested(name: str, value: Any) -> dict[str, Any]:
    """Return the value of `a.b` as nested mappings."""
    first, dot, rest = name.partition(".")
    return {first: nested(rest, value) if dot else value}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` updated with the fields of `over`; nested mappings are merged, other values replaced."""
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def explain(error: Any) -> str:
    """Describe one pydantic error, with the closest field name if a field does not exist."""
    path = [str(part) for part in error["loc"]]
    if error["type"] != "extra_forbidden":
        message = str(error["msg"]).removeprefix("Value error, ")
        return f"{'.'.join(path)}: {message}" if path else message
    near = difflib.get_close_matches(".".join(path), field_names(), n=1, cutoff=0.5)
    return f"there is no setting '{'.'.join(path)}'" + (f"; did you mean '{near[0]}'?" if near else "")


def field_names(model: type[BaseModel] = Settings, prefix: str = "", *, groups: bool = False) -> list[str]:
    """Return the dotted names of all settings and, if `groups` is true, of their groups."""
    names = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += [f"{prefix}{name}"] if groups else []
            names += field_names(inner, f"{prefix}{name}.", groups=groups)
        else:
            names.append(f"{prefix}{name}")
    return names
