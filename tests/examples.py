"""Number of examples of a property test: few and always the same in `make test`, many new ones in `make soak`."""

import os

from hypothesis import settings

SOAK = bool(os.environ.get("MOTION_ADAPT_SOAK"))
MORE = 10  # times as many in a soak

# No deadlines: the first call of a network or a resize may be slow on a busy machine, which is not a failure.
settings.register_profile("test", derandomize=True, deadline=None, max_examples=50, database=None)
settings.register_profile("soak", deadline=None, max_examples=50 * MORE, print_blob=True)


def examples(count: int) -> settings:
    """Set `count` examples for a test whose examples are slow; more in a soak."""
    return settings(max_examples=count * (MORE if SOAK else 1))
