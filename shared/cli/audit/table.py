"""The reward table: the newest revision of each decision's reward, and the oracle's, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from shared.applications.contract import Application
from shared.cli.audit.findings import Findings
from shared.cli.audit.inputs import Inputs
from shared.cli.audit.oracle import Expected
from shared.cli.topic_log import Records
from shared.wire.columns import Columns

TOLERANCE = 1e-9


class Reward(NamedTuple):
    """One row of the table."""

    reward: float
    is_default: bool
    interactions: int
    decision_offset: int
    decision_time: int
    revision: int = 0


_COLUMNS = ("reward", "is_default", "interactions", "decision_offset", "decision_time", "revision")


class Table:
    """Rewards of one partition, in log order, checked as they come: I3's chain, and no default too early."""

    def __init__(self, waits: Mapping[str, int], findings: Findings) -> None:
        self.rows: dict[str, Reward] = {}
        self._waits, self._findings = waits, findings

    def add(self, records: Records, columns: Columns) -> None:
        """Take the next records and their columns."""
        frame = columns.frame
        ids = frame["decision"].struct.field("decision_id").to_list()
        names = frame["decision"].struct.field("application").to_list()
        previous, times = frame["previous_reward"].to_list(), records.timestamps[columns.rows].tolist()
        rows = map(Reward._make, frame.select(*_COLUMNS).iter_rows())
        for decision_id, name, before, time, row in zip(ids, names, previous, times, rows, strict=True):
            self._check(decision_id, before, row)
            if row.is_default and time < row.decision_time + self._waits.get(name, 0):
                self._findings.broken("I4", f"{decision_id} got its default reward before its window closed")
            self.rows[decision_id] = row

    def _check(self, decision_id: str, previous: float, row: Reward) -> None:
        last = self.rows.get(decision_id)
        revision, reward = (last.revision + 1, last.reward) if last else (0, 0.0)
        if row.revision != revision:
            self._findings.broken(
                "I3", f"{decision_id} has revision {row.revision} where {revision} comes next"
            )
        if previous != reward:
            self._findings.broken(
                "I3",
                f"{decision_id}, revision {row.revision}: previous_reward is {previous}, it was {reward}",
            )


def oracle_table(
    expected: Expected, inputs: Inputs, applications: Mapping[str, Application]
) -> Iterator[tuple[str, Reward]]:
    """(decision_id, reward) of each decision of the partition, in log order within each application.

    The application's reward function runs once, over all interactions that count.
    """
    for name, application in applications.items():
        ids = [each.id for each in expected.decisions.values() if each.application == name]
        rows = [expected.rows.get(decision_id, []) for decision_id in ids]
        counts = np.array([len(each) for each in rows], np.int64)
        chosen = inputs.frame[[row for each in rows for row in each]]
        with_some = np.flatnonzero(counts)
        owner = np.repeat(np.arange(len(with_some)), counts[with_some])
        rewards = np.full(len(ids), application.settings.reward.default)
        if len(with_some):
            rewards[with_some] = application.reward(chosen, owner, len(with_some)).reward
        for decision_id, reward, count in zip(ids, rewards.tolist(), counts.tolist(), strict=True):
            decision = expected.decisions[decision_id]
            yield decision_id, Reward(reward, count == 0, count, decision.offset, decision.time)


def difference(found: Reward, wanted: Reward) -> str | None:
    """What of a reward is not as the oracle has it, in words."""
    if abs(found.reward - wanted.reward) > TOLERANCE * max(1.0, abs(wanted.reward)):
        return f"reward {found.reward}, the log gives {wanted.reward}"
    for field in ("is_default", "interactions", "decision_offset", "decision_time"):
        if (value := getattr(found, field)) != (right := getattr(wanted, field)):
            return f"{field} {value}, the log gives {right}"
    return None
