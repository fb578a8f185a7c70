"""obp over a log in memory: seconds for IPS, SNIPS, DM and DR with bootstrap intervals.

Usage: obp_evaluate.py FOLDER RESAMPLES. FOLDER holds reward, action, pscore (n,), action_dist and
estimated_rewards (n, k, 1) as .npy. Prints seconds, peak memory, and the estimates.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from obp_library import estimators

NAMES = ("ips", "snips", "dm", "dr")


def main() -> None:
    """Measure and print."""
    warnings.simplefilter("ignore")
    folder, resamples = Path(sys.argv[1]), int(sys.argv[2])
    names = ("reward", "action", "pscore", "action_dist", "estimated_rewards")
    known = estimators()
    began = time.perf_counter()
    log = {name: np.load(folder / f"{name}.npy") for name in names}
    log["position"] = np.zeros(len(log["reward"]), int)
    log["estimated_rewards_by_reg_model"] = log.pop("estimated_rewards")
    values = {}
    for name in NAMES:
        found = known[name].estimate_interval(**log, n_bootstrap_samples=resamples, random_state=0)
        values[name] = [float(value) for value in found.values()]
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    json.dump({"seconds": seconds, "peak_bytes": peak, "values": values}, sys.stdout)


if __name__ == "__main__":
    main()
