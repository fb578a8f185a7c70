"""The learner as a process: `python -m services.online_bandit.learner`."""

import os
import sys


def main() -> int:
    """Work until told to stop; the exit status: 1 if something stopped it, 2 for settings that are wrong."""
    # Read by numpy when it is imported: partitions are learnt side by side, one thread each.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from services.online_bandit.learner.wiring import serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
