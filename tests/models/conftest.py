"""No deadlines: the first call of a network or a resize is slow on a busy machine, and that is no failure."""

from hypothesis import settings

settings.register_profile("models", deadline=None)
settings.load_profile("models")
