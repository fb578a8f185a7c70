"""What a look at a candidate must say, worked out decision by decision from the topic."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.broker.settings import BrokerSettings
from shared.wire.codec import decode
from shared.wire.schemas import schema
from tests.broker.reading import read_all


@dataclass(frozen=True)
class Expected:
    """Sums over the decisions that count."""

    decisions: int
    effective: float
    largest: float
    values: dict[str, float]
    baselines: dict[str, float]


async def rewards(broker: BrokerSettings) -> list[tuple[int, dict[str, Any]]]:
    """(partition, record) of everything on rewards that is one."""
    found = await read_all(broker, broker.topic("rewards"))
    return [(each.partition, decode(schema("rewards"), each.value)) for each in found if each.value != b"?"]


def expected(
    found: list[tuple[int, dict[str, Any]]], policy: Any, begins: int, wait: int = 0, metrics: tuple = ()
) -> Expected:
    """By brute force; `wait` in milliseconds where decisions count once their window is closed."""
    latest: dict[str, tuple[int, dict[str, Any]]] = {}
    reached: dict[int, int] = defaultdict(int)
    for partition, record in found:
        if record["decision"]["application"] != "shop":
            continue
        reached[partition] = max(reached[partition], record["reward_time"])
        latest[record["decision"]["decision_id"]] = partition, record
    weights, values = [], {name: [] for name in ("reward", *metrics)}
    for partition, record in latest.values():
        time, step = record["decision_time"], max(1, wait // 4)
        if time < begins or (wait and (time // step + 1) * step + wait > reached[partition]):
            continue
        decision = record["decision"]
        (row,) = policy.probabilities(np.array([decision["context"]], np.float32))
        offered = decision["actions"] or list(policy.actions)
        row = {name: p for name, p in zip(policy.actions, row, strict=True) if name in offered}
        propensity = decision["mixture_propensity"] or decision["propensity"]
        weights.append(row[decision["action"]] / sum(row.values()) / propensity)
        parts = {each["name"]: each["value"] for each in record["components"]}
        for name, column in values.items():
            column.append(record["reward"] if name == "reward" else parts[name])
    w = np.array(weights)
    return Expected(
        len(w),
        float(w.sum() ** 2 / (w @ w)),
        float(w.max()),
        {name: float(w @ column / w.sum()) for name, column in values.items()},
        {name: float(np.mean(column)) for name, column in values.items()},
    )
