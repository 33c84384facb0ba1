"""Readiness: check what depends on no clip, before a run touches the first one."""

from motion_adapt.flows.run.errors import RunError
from motion_adapt.models.inference.crf import CrfMissing, require_crf
from motion_adapt.tasks.settings import Settings


def require_ready(settings: Settings) -> None:
    """Check that a run with these settings can do all that they ask for.

    Raises:
        RunError: a package that a setting needs is not installed.
    """
    if settings.crf.enabled:
        try:
            require_crf()
        except CrfMissing as error:
            raise RunError(str(error)) from error
