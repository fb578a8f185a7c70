"""Valid events to start from, and rules to check them by."""

import time
from typing import Any

from services.collector.handlers import Rules
from services.collector.settings import CollectorSettings
from shared.applications.registry import load

NOW = 1_800_000_000_000
APPLICATIONS = load()
PIXELS = {f"pixel_{i:02}": float(i % 17) for i in range(64)}
UNIFORM = [0.1] * 10


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def rules(**settings: Any) -> Rules:
    return Rules(APPLICATIONS, CollectorSettings(**settings))


def interaction(**fields: Any) -> dict[str, Any]:
    base = {
        "interaction_id": "i-1",
        "decision_id": "d-1",
        "application": "optdigits",
        "type": "right",
        "value": 1,
    }
    return {**base, **fields}


def decision(**fields: Any) -> dict[str, Any]:
    base = {
        "decision_id": "d-1",
        "application": "optdigits",
        "subject_id": "s-1",
        "context": PIXELS,
        "action": "7",
        "propensity": 0.1,
    }
    return {**base, **fields}
