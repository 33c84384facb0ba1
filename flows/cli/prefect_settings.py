"""Prefect's own settings, read before anything that needs Prefect is imported.

Prefect reads them from the environment, from a profile, and from `prefect.toml` and `pyproject.toml` in the current
folder while it is imported. A wrong one ends the import with a trace that names no file.
"""

import io
import os
import sys
import tomllib
import warnings
from contextlib import redirect_stderr
from pathlib import Path

from pydantic import ValidationError

from motion_adapt.flows.cli.environment import usable
from motion_adapt.flows.run.errors import RunError


def require_prefect() -> None:
    """Import Prefect with the user's settings, unless it is already imported.

    Raises:
        RunError: if `PREFECT_HOME` cannot be written, or if the settings are wrong.
    """
    home = os.environ.get("PREFECT_HOME", "~/.prefect")
    if "PREFECT_HOME" in os.environ and not usable(Path(home).expanduser()):
        raise RunError(f"PREFECT_HOME={home} cannot be written: name another folder, or unset it")
    for file in (os.environ.get("PREFECT_PROFILES_PATH", f"{home}/profiles.toml"), "prefect.toml"):
        _require_toml(Path(file).expanduser())
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stderr(printed):
            warnings.simplefilter("ignore")
            import prefect.context  # noqa: F401
    except (ValueError, OSError) as error:
        raise RunError(
            f"Prefect cannot read its settings ({_in_short(error)}): correct the variable PREFECT_..., or the line in "
            "profiles.toml, prefect.toml or pyproject.toml"
        ) from error
    sys.stderr.write(printed.getvalue())


def _require_toml(file: Path) -> None:
    try:
        tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (ValueError, OSError) as error:
        raise RunError(
            f"Prefect cannot read its settings in {file} ({error}): correct that file, or move it away"
        ) from error


def _in_short(error: Exception) -> str:
    """Return a setting's name and what is wrong with it, if the error says so."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, item['loc']))}={item['input']}: {item['msg']}" for item in error.errors()
        )
    return " ".join(str(error).split())
