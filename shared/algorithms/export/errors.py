"""What keeps a candidate from being exported."""


class NotExportable(ValueError):
    """The candidate or the tools here do not allow this export; the message says why and what would."""
