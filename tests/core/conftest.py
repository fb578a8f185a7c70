"""How hypothesis runs here: a busy machine is no failure, so examples have no deadline of their own."""

from hypothesis import settings

settings.register_profile("core", deadline=None)
settings.load_profile("core")
