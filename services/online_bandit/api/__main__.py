"""The decision API as a process: `python -m services.online_bandit.api`."""

import os
import sys

SWITCH_S = 0.0005
"""How long the thread that solves may hold the interpreter while a request waits; Python's own is 5 ms."""


def main() -> int:
    """Serve until told to stop; the exit status: 1 if it cannot serve, 2 for settings that are wrong."""
    # Read by numpy when it is imported: solving leaves the other cores to requests.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.setswitchinterval(SWITCH_S)
    from services.online_bandit.api.wiring import serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
