"""HTTP load by wrk: closed loop, a fixed number of connections."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("wrk.lua")
GRACE_S = 30.0


class LoadFailed(RuntimeError):
    """The load could not be made, or requests failed under it."""


@dataclass(frozen=True)
class Load:
    """What a run of wrk saw; latencies in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int

    @property
    def per_s(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def check_wrk() -> None:
    """Raise LoadFailed unless wrk is there."""
    if shutil.which("wrk") is None:
        raise LoadFailed("wrk is not in PATH: install the Debian package wrk (apt-get install wrk)")


def load(url: str, bodies: Path, *, connections: int, seconds: int) -> Load:
    """POST the lines of `bodies` in turn over and over. Raises LoadFailed, also when any request failed."""
    check_wrk()
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"),
            *("-s", str(SCRIPT), url, "--", str(bodies)),
        ],
        capture_output=True,
        text=True,
        timeout=seconds + GRACE_S,
        check=False,
    )
    if done.returncode != 0 or not done.stderr.strip():
        raise LoadFailed(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    found = Load(**json.loads(done.stderr.strip().splitlines()[-1]))
    if found.errors:
        raise LoadFailed(f"{found.errors} of {found.requests} requests to {url} failed")
    return found
