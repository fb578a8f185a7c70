"""Reads all topics of the loop again and holds the invariants I1–I5, I9 and I13 against them.

One partition is in memory at a time, without contexts: about 1 kB for each decision of a partition. Run it
when the loop has come to rest; what happened in the last SETTLE_MS may still be on its way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import polars as pl

from shared.applications.contract import Application
from shared.broker.settings import BrokerSettings
from shared.cli.audit.accounts import Accounts
from shared.cli.audit.dead import read_dead
from shared.cli.audit.findings import HOLDS, Findings
from shared.cli.audit.inputs import Inputs, read_inputs
from shared.cli.audit.journal import Ids, Journal, Roll
from shared.cli.audit.learning import Offline, read_replicas, resets_done
from shared.cli.audit.oracle import Expected, Fate, Rule, expect
from shared.cli.audit.propensities import Propensities, propensities
from shared.cli.audit.resets import read_requests, wrong_resets
from shared.cli.audit.table import Table, difference, oracle_table
from shared.cli.topic_log import Log, committed, open_log
from shared.wire.columns import decode_columns
from shared.wire.policy_replicas import Replicas
from shared.wire.schemas import schema

SETTLE_MS = 10_000
CALCULATOR, LEARNER = "reward-calculator", "online-bandit-learner"
"""Consumer groups."""


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    verdicts: dict[str, str]
    """Invariant → "holds", or what broke it."""
    figures: dict[str, int]
    """Inputs read ("in"), and how many of them met each fate; decisions, rewards and defaults."""

    @property
    def sound(self) -> bool:
        """Whether every invariant holds."""
        return all(verdict == HOLDS for verdict in self.verdicts.values())


def rules(applications: Mapping[str, Application]) -> dict[str, Rule]:
    """Each application's windows."""
    chosen = {name: application.settings.reward for name, application in applications.items()}
    return {
        name: Rule(*(round(span.total_seconds() * 1000) for span in (each.early_grace, each.wait, each.hold)))
        for name, each in chosen.items()
    }


def audit(
    settings: BrokerSettings,
    applications: Mapping[str, Application],
    journal: Journal | None = None,
    now: int | None = None,
    key: bytes | None = None,
) -> Audit:
    """Audit the loop on a cluster; `now` in ms, the present if not given. Raises KafkaError.

    Without a journal of acknowledged and refused ids, I1 and I2 have nothing to hold against the log. Without
    the `key` of the assignment, I5 takes the arms of subjects as they are logged.
    """
    now = (time.time_ns() // 1_000_000 if now is None else now) - SETTLE_MS
    positions = {
        place: each.offset
        for group in (CALCULATOR, LEARNER)
        for place, each in committed(settings, group).items()
    }
    with open_log(settings) as log:
        return examine(log, applications, journal or Journal(), positions, now, settings.topic_prefix, key)


def examine(
    log: Log,
    applications: Mapping[str, Application],
    journal: Journal,
    positions: Mapping[tuple[str, int], int],
    now: int,
    prefix: str = "",
    key: bytes | None = None,
) -> Audit:
    """Audit topics: `positions` has (topic, partition) → committed offset; up to `now` all is settled."""
    run = _Run(log, applications, journal, positions, now, prefix)
    resets = resets_done(run.replicas)
    with propensities(log, applications, key, partial(run.broken, "I5"), resets) as drawn:
        for partition in log.partitions("decisions"):
            run.partition(partition, drawn)
        drawn.close(log)
    return run.close()


class _Run:
    """One audit: what is known over all partitions."""

    def __init__(
        self,
        log: Log,
        applications: Mapping[str, Application],
        journal: Journal,
        positions: Mapping[tuple[str, int], int],
        now: int,
        prefix: str,
    ) -> None:
        self._log, self._applications, self._now = log, applications, now
        self._findings = Findings()
        self._rules = rules(applications)
        self._rolls = {
            "decisions": self._roll("decisions", journal.decisions),
            "interactions": self._roll("interactions", journal.interactions),
        }
        self._positions = positions
        self._accounts = Accounts(read_dead(log, prefix), positions, self._findings)
        self.replicas = read_replicas(log, applications)
        self._requests = read_requests(log)  # after what learners made of them
        self._totals = {"decisions": 0, "rewards": 0, "defaults": 0}

    def broken(self, invariant: str, decision_id: str, problem: str) -> None:
        """A violation by one decision."""
        self._findings.broken(invariant, f"{decision_id}: {problem}")

    def partition(self, number: int, drawn: Propensities) -> None:
        """Audit one partition."""

        def decisions(frame: pl.DataFrame) -> None:
            self._rolls["decisions"].present(frame["decision_id"])
            drawn.see(frame)

        watches = {"decisions": decisions, "interactions": self._see_interactions}
        inputs = read_inputs(self._log, number, self._applications, watches)
        expected = expect(inputs.decisions, inputs.interactions, self._rules, self._now)
        table = self._read_rewards(number)
        self._compare(number, expected, inputs, table)
        self._accounts.settle(number, inputs, expected)
        self._check_ends(number)
        self._totals["decisions"] += sum(
            fate is not Fate.DUPLICATE for fate in expected.decision_fates.values()
        )
        self._totals["rewards"] += len(table.rows)
        self._totals["defaults"] += sum(row.is_default for row in table.rows.values())

    def close(self) -> Audit:
        """All partitions were audited."""
        for roll in self._rolls.values():
            roll.close()
        self._accounts.close()
        return Audit(self._findings.report(), {**self._accounts.figures, **self._totals})

    def _roll(self, topic: str, ids: Ids) -> Roll:
        return Roll(topic, ids, self._findings)

    def _see_interactions(self, frame: pl.DataFrame) -> None:
        self._rolls["interactions"].present(frame["interaction_id"])

    def _read_rewards(self, number: int) -> Table:
        """The partition's table, and beside it the statistics that learners must have made of it."""
        table = Table({name: rule.wait for name, rule in self._rules.items()}, self._findings)
        offline = _offline(self.replicas, self._applications, number)
        for records in self._log.read("rewards", number):
            columns = decode_columns(schema("rewards"), records.values)
            for row, error in columns.bad:
                self._findings.broken("I4", f"rewards-{number}@{records.offsets[row]}: {error}")
            table.add(records, columns)
            for each in offline.values():
                each.add(columns.frame, records.offsets[columns.rows])
        for name, each in offline.items():
            wrong = wrong_resets(self._applications[name], each.learner, self._requests, SETTLE_MS)
            for problem in filter(None, (each.difference(), wrong)):
                self._findings.broken("I3", f"{name}, partition {number}: {problem}")
            self._check_learner(number, each.next_offset)
        return table

    def _compare(self, number: int, expected: Expected, inputs: Inputs, table: Table) -> None:
        missing = partial(self._accounts.missing, "decisions", number)
        for decision_id, wanted in oracle_table(expected, inputs, self._applications):
            found = table.rows.get(decision_id)
            if not math.isfinite(wanted.reward):  # such a decision is refused, whatever it had before
                expected.decision_fates[wanted.decision_offset] = Fate.DEAD
            elif found is None and decision_id not in expected.unsettled:
                self._findings.broken("I4", f"{decision_id} has no reward, the log gives {wanted.reward}")
                missing(wanted.decision_offset, f"{decision_id} has no reward")
            elif found is not None and (problem := difference(found, wanted)):
                self._findings.broken("I4", f"{decision_id} has {problem}")
                missing(wanted.decision_offset, f"{decision_id} has {problem}")
        for decision_id in table.rows.keys() - expected.decisions.keys():
            self._findings.broken("I4", f"{decision_id} has a reward, and the log gives it none")

    def _check_ends(self, number: int) -> None:
        for topic in ("decisions", "interactions", "rewards"):
            position, end = self._positions.get((topic, number), 0), self._log.end(topic, number)
            if position > end:
                self._findings.broken(
                    "I13", f"{topic}-{number} is committed up to {position}, it ends at {end}"
                )

    def _check_learner(self, number: int, next_offset: int) -> None:
        position = self._positions.get(("rewards", number), 0)
        if position > next_offset:
            self._findings.broken(
                "I13", f"rewards-{number} is committed up to {position}, published is up to {next_offset}"
            )


def _offline(replicas: Replicas, applications: Mapping[str, Application], number: int) -> dict[str, Offline]:
    """For each application that has published learning from this partition, the sums to compare it with."""
    return {
        name: Offline(applications[name], replica.partitions[number])
        for (name, _), replica in replicas.policies.items()
        if number in replica.partitions
    }
