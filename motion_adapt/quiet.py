"""Runs that print nothing, in a process that belongs to someone else.

The command line sets Prefect's defaults before it imports Prefect. A notebook may have imported Prefect long before
its first run: then they hold for the time of the run, and Prefect is as loud afterwards as it was.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from motion_adapt.flows.cli.environment import PREFECT, quiet
from motion_adapt.flows.cli.prefect_settings import require_prefect


@contextmanager
def quietly(*, progress: bool) -> Iterator[None]:
    """Run flows without a line on the terminal, or with progress bars and the run's own warnings only."""
    imported = "prefect" in sys.modules
    for dropped in quiet(prefect=not imported):
        warnings.warn(dropped, stacklevel=4)  # at the caller of the API
    require_prefect()
    from motion_adapt.flows.run.console import console, progress_bars, silence

    with ExitStack() as stack:
        if imported:
            stack.enter_context(_prefect_defaults())
        stack.enter_context(progress_bars(console) if progress else silence())
        yield


@contextmanager
def _prefect_defaults() -> Iterator[None]:
    """Give Prefect the defaults of the command line; what the user has set stays."""
    from prefect import settings
    from prefect.logging.configuration import setup_logging

    defaults = {getattr(settings, name): value for name, value in PREFECT.items()}
    try:
        with settings.temporary_settings(set_defaults=defaults):
            setup_logging()
            yield
    finally:
        setup_logging()
