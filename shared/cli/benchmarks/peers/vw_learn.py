"""Vowpal Wabbit's native driver over a file of examples: how many it learns in a second.

Usage: vw_learn.py FILE ACTIONS EXAMPLES. Prints a JSON object with rates: of SquareCB, the policy of the
regret benchmark, which like LinUCB learns what it needs to explore; of `--cb`, regression that cannot
explore; and of `--cb` over the binary cache that an earlier pass leaves. The driver is the command line's:
parsing in a thread of its own, learning in another, no Python in between.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from vowpalwabbit import Workspace

RUNS = 3
"""Of each; the best one counts."""


def seconds(options: str) -> float:
    """How long the driver takes for its data."""
    began = time.perf_counter()
    Workspace(options).finish()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    file, actions, examples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    data = f"--quiet --data {file}"
    squarecb = min(seconds(f"--cb_explore {actions} --squarecb {data}") for _ in range(RUNS))
    learn = f"--cb {actions} {data}"
    text = min(seconds(learn) for _ in range(RUNS))
    with tempfile.TemporaryDirectory() as folder:
        cached = f"{learn} --cache_file {Path(folder) / 'cache'}"
        seconds(cached)
        cache = min(seconds(cached) for _ in range(RUNS))
    taken = {"squarecb": squarecb, "cb": text, "cb_cache": cache}
    json.dump({f"{name}_per_s": examples / each for name, each in taken.items()}, sys.stdout)


if __name__ == "__main__":
    main()
