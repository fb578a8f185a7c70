"""Properties are checked on a machine that others use too: no example has a deadline."""

from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
