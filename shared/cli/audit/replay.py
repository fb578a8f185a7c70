"""The loop's results worked out again from offset 0, and digests of them."""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.broker.settings import BrokerSettings
from shared.cli.audit.audit import SETTLE_MS, rules
from shared.cli.audit.findings import Findings
from shared.cli.audit.inputs import read_inputs
from shared.cli.audit.learning import learnable, read_replicas
from shared.cli.audit.oracle import expect
from shared.cli.audit.table import Reward, Table, difference, oracle_table
from shared.cli.topic_log import Log, open_log
from shared.core.policies.learner import Learner
from shared.core.policies.resets import Reset
from shared.wire.columns import Columns, decode_columns
from shared.wire.policy_replicas import Replica
from shared.wire.schemas import schema

MOST_DIFFERENCES = 10


@dataclass
class Replay:
    """What a replay found; digests are sha256 in hex."""

    application: str
    policy: str
    decisions: int = 0
    """Decisions whose reward is settled."""
    rewards: int = 0
    """Reward records read."""
    open: int = 0
    """Decisions whose window may still be open; they are in neither table."""
    reward_table: str = ""
    """Of the table that the oracle computes from decisions and interactions."""
    model: str = ""
    """Of what learners make of the rewards, read from offset 0, with the resets that were published."""
    served_model: str | None = None
    """Of what is published, None while it has not learnt all rewards."""
    differences: list[str] = field(default_factory=list)
    """The first decisions whose reward is not what the oracle computes."""

    @property
    def matches(self) -> bool:
        """Whether the stored table is the oracle's, and the published model the recomputed one."""
        return not self.differences and self.served_model in (None, self.model)

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "matches": self.matches}


def replay(settings: BrokerSettings, application: Application, now: int | None = None) -> Replay:
    """Replay one application; what was decided after `now` (ms, else the present) may be open.

    Raises KafkaError.
    """
    now = (time.time_ns() // 1_000_000 if now is None else now) - SETTLE_MS
    with open_log(settings) as log:
        return replay_log(log, application, now)


def replay_log(log: Log, application: Application, now: int) -> Replay:
    """Replay the application's topics."""
    found = Replay(application.name, policy_name(application))
    digest = hashlib.sha256()
    learners = []
    published = _published(log, application)
    for partition in log.partitions("decisions"):
        known = published.partitions.get(partition)
        resets = known.learner.resets if known else ()
        stored, learner = _read_rewards(log, partition, application, found, resets)
        learners.append(learner)
        _compare(log, partition, application, now, stored, digest, found)
    found.reward_table = digest.hexdigest()
    _share_scaling(learners)
    found.model = _digest(learners)
    found.served_model = _served(log, published)
    return found


def _read_rewards(
    log: Log, partition: int, application: Application, found: Replay, resets: Iterable[Reset]
) -> tuple[Table, Learner]:
    table, learner = Table({}, Findings()), new_learner(application)
    for reset in resets:  # they are told apart by the time of decisions, so all may come first
        learner.repeat(reset)
    for records in log.read("rewards", partition):
        every = decode_columns(schema("rewards"), records.values)
        own = (every.frame["decision"].struct.field("application") == application.name).to_numpy()
        columns = Columns(every.frame.filter(own), every.rows[own], [])
        found.rewards += len(columns.rows)
        table.add(records, columns)
        rows = learnable(application, columns.frame)
        learner.learn(rows.contexts, rows.actions, rows.rewards, rows.fresh, rows.times)
    return table, learner


def _compare(
    log: Log,
    partition: int,
    application: Application,
    now: int,
    stored: Table,
    digest: hashlib._Hash,
    found: Replay,
) -> None:
    applications = {application.name: application}
    nothing = {"decisions": lambda _: None, "interactions": lambda _: None}
    inputs = read_inputs(log, partition, applications, nothing)
    expected = expect(inputs.decisions, inputs.interactions, rules(applications), now)
    for decision_id, wanted in oracle_table(expected, inputs, applications):
        if decision_id in expected.unsettled:
            found.open += 1
            continue
        found.decisions += 1
        digest.update(_row(decision_id, wanted))
        reward = stored.rows.get(decision_id)
        problem = "no reward" if reward is None else difference(reward, wanted)
        if problem and len(found.differences) < MOST_DIFFERENCES:
            found.differences.append(f"{decision_id} has {problem}")
    for decision_id in stored.rows.keys() - expected.decisions.keys():
        if len(found.differences) < MOST_DIFFERENCES:
            found.differences.append(f"{decision_id} has a reward, and the log gives it none")


def _row(decision_id: str, reward: Reward) -> bytes:
    return decision_id.encode() + struct.pack("<xd?q", reward.reward, reward.is_default, reward.interactions)


def _share_scaling(learners: list[Learner]) -> None:
    """As in the loop: partition 0's first rewards give all partitions their scaling."""
    scaling = learners[0].propose_scaling() if learners else None
    if scaling is not None:
        for learner in learners:
            learner.set_scaling(scaling)


def _published(log: Log, application: Application) -> Replica:
    replicas = read_replicas(log, {application.name: application})
    return replicas.policies[application.name, policy_name(application)]


def _served(log: Log, replica: Replica) -> str | None:
    partitions = log.partitions("rewards")
    for number in partitions:
        known = replica.partitions.get(number)
        if known is None or known.next_offset < _last_reward(log, number, known.next_offset):
            return None
    return _digest([replica.partitions[number].learner for number in partitions])


def _last_reward(log: Log, partition: int, start: int) -> int:
    """One more than the offset of the last reward from `start` on, else `start`."""
    end = start
    for records in log.read("rewards", partition, start):
        end = int(records.offsets[-1]) + 1
    return end


def _digest(learners: list[Learner]) -> str:
    digest = hashlib.sha256()
    for learner in learners:
        digest.update(learner.to_bytes())
    return digest.hexdigest()
