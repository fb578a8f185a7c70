"""Two ways of doing the same work by turns, so that the machine's load hits both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.cli.output import say

#: How often each side is timed.
REPEATS = 4


@dataclass(frozen=True)
class Throughput:
    """Units a second of both sides, and the middle one of the ratios of runs that followed each other.

    Ratios by processor time too: that says what is overhead where others use the machine meanwhile.
    """

    ours: float
    theirs: float
    ratio: float
    processor_ratio: float


def by_turns(count: int, mine: Callable[[], None], bare: Callable[[], None]) -> Throughput:
    """Time both sides at so many units of work; who begins changes too."""
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for turn in range(REPEATS):
        for side in ("ours", "theirs") if turn % 2 else ("theirs", "ours"):
            say(f"timing {side}, {turn + 1} of {REPEATS}")
            start = (time.perf_counter(), time.process_time())
            mine() if side == "ours" else bare()
            took = (time.perf_counter() - start[0], time.process_time() - start[1])
            found[side].append((count / took[0], count / took[1]))
    both = list(zip(found["ours"], found["theirs"], strict=True))
    ratio, processor_ratio = (statistics.median(mine[n] / bare[n] for mine, bare in both) for n in (0, 1))
    ours, theirs = (max(rate for rate, _ in found[side]) for side in ("ours", "theirs"))
    return Throughput(ours, theirs, ratio, processor_ratio)
