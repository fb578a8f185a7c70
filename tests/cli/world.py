"""A loop's topics in memory: right as they stand, until a test plants something."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import numpy as np

from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.applications.registry import load
from shared.broker.partitioner import partition_for
from shared.cli.audit.audit import Audit, examine
from shared.cli.audit.journal import Ids, Journal
from shared.cli.topic_log import Records
from shared.core.draw import draw, uniform
from shared.core.policies.learner import Learner
from shared.core.policies.rows import Rows
from shared.wire.codec import encode
from shared.wire.policy_updates import Source, snapshot_records
from shared.wire.rollouts import DeploymentEvent
from shared.wire.schemas import schema

PARTITIONS = 2
SINGLE = ("policy-updates", "candidates", "evaluations", "deployments", "deployment-events")
"""Topics of one partition."""
DAY = 86_400_000
START = 20_000 * DAY
SECOND = 1_000


@dataclass(frozen=True)
class Entry:
    """One record; `fields` is what `value` was made of."""

    value: bytes
    time: int
    fields: dict[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class MemoryLog:
    """A `Log` of lists: topic → partition → records."""

    topics: dict[str, list[list[Entry]]]

    def partitions(self, topic: str) -> list[int]:
        return list(range(len(self.topics[topic])))

    def end(self, topic: str, partition: int) -> int:
        return len(self.topics[topic][partition])

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Records]:
        entries = self.topics[topic][partition][start:end]
        for first in range(0, len(entries), 7):
            part = entries[first : first + 7]
            yield Records(
                topic,
                partition,
                [None] * len(part),
                [entry.value for entry in part],
                [entry.headers for entry in part],
                np.arange(start + first, start + first + len(part)),
                np.array([entry.time for entry in part]),
            )


class World:
    """40 optdigits decisions, every third of them followed by an interaction, all joined and learnt."""

    def __init__(self) -> None:
        self.application: Application = load()["optdigits"]
        names = ("decisions", "interactions", "rewards", "dead-letters")
        self.log = MemoryLog(
            {name: [[] for _ in range(PARTITIONS)] for name in names} | {name: [[]] for name in SINGLE}
        )
        self.positions: dict[tuple[str, int], int] = {}
        self.ids = [f"decision-{number}" for number in range(40)]
        self.interaction_ids = [f"interaction-{number}" for number in range(0, 40, 3)]
        self.journal = Journal(Ids(set(self.ids), {"refused"}), Ids(set(self.interaction_ids), {"refused"}))
        for number, decision_id in enumerate(self.ids):
            self.decide(decision_id, START + number)
            if number % 3 == 0:
                self.interact(f"interaction-{number}", decision_id, START + number + SECOND)
        for number, decision_id in enumerate(self.ids):
            self.reward(decision_id, float(number % 3 == 0))
        self.publish()

    def audit(self) -> Audit:
        """What an audit finds, long after everything happened."""
        return examine(self.log, {"optdigits": self.application}, self.journal, self.positions, START + DAY)

    def home(self, decision_id: str) -> int:
        """The partition of everything about a decision."""
        return partition_for(decision_id.encode(), PARTITIONS)

    def append(self, topic: str, partition: int, time: int, fields: dict[str, Any]) -> None:
        """Encode and write."""
        self.log.topics[topic][partition].append(Entry(encode(schema(topic), fields), time, fields))

    def change(self, topic: str, partition: int, offset: int, **fields: Any) -> None:
        """Write a record anew with other fields."""
        entries = self.log.topics[topic][partition]
        changed = entries[offset].fields | fields
        entries[offset] = replace(entries[offset], value=encode(schema(topic), changed), fields=changed)

    def decide(self, decision_id: str, time: int, **fields: Any) -> None:
        """Log a decision of the application's policy at version 0."""
        policy, actions = policy_name(self.application), self.application.actions
        probabilities = np.full(len(actions), 1 / len(actions))
        index = draw(probabilities.tolist(), uniform(decision_id, policy, 0))
        decision = {
            "decision_id": decision_id,
            "application": "optdigits",
            "subject_id": "s",
            "policy": policy,
            "policy_version": 0,
            "policy_offsets": [],
            "action": actions[index],
            "propensity": float(probabilities[index]),
            "actions": [],
            "probabilities": probabilities.tolist(),
            "context": [float(crc32(decision_id.encode()) % (7 + i)) for i in range(64)],
            "action_features": [],
            "attributes": [],
            "deferred": False,
            "arm": None,
            "share": None,
            "mixture_propensity": None,
            "decided_at": time,
        }
        self.append("decisions", self.home(decision_id), time, decision | fields)

    def interact(self, interaction_id: str, decision_id: str, time: int, **fields: Any) -> None:
        """Log an interaction of value 1."""
        interaction = {
            "interaction_id": interaction_id,
            "decision_id": decision_id,
            "application": "optdigits",
            "type": "right",
            "value": 1.0,
            "attributes": [],
            "occurred_at": None,
        }
        self.append("interactions", self.home(decision_id), time, interaction | fields)

    def reward(self, decision_id: str, value: float, **fields: Any) -> None:
        """Log the next revision of a decision's reward; no interactions make a default."""
        partition = self.home(decision_id)
        earlier = [
            entry.fields
            for entry in self.log.topics["rewards"][partition]
            if entry.fields["decision"]["decision_id"] == decision_id
        ]
        decisions = self.log.topics["decisions"][partition]
        offset = next(n for n, entry in enumerate(decisions) if entry.fields["decision_id"] == decision_id)
        reward = {
            "decision": decisions[offset].fields,
            "reward": value,
            "components": [{"name": "sum", "value": value}],
            "previous_reward": earlier[-1]["reward"] if earlier else 0.0,
            "revision": len(earlier),
            "is_default": value == 0,
            "interactions": int(value),
            "reward_version": self.application.reward_version,
            "decision_time": decisions[offset].time,
            "decision_offset": offset,
            "reward_time": decisions[offset].time,
        }
        self.append("rewards", partition, decisions[offset].time + 4 * SECOND, reward | fields)

    def publish(self, *resets: tuple[str, int, int]) -> None:
        """Publish what a learner makes of the rewards as they are now.

        `resets`: an action, when its reset was asked for, and how many rewards each partition knew then.
        """
        self.log.topics["policy-updates"] = [[]]
        for partition, entries in enumerate(self.log.topics["rewards"]):
            learner = self.learner(partition, len(entries), *resets)
            source = Source("optdigits", policy_name(self.application), partition)
            for _, record in snapshot_records(source, learner, sequence=1, next_offset=len(entries)):
                self.append("policy-updates", 0, START, record)

    def learner(self, partition: int, number: int, *resets: tuple[str, int, int]) -> Learner:
        """What it is after so many rewards of a partition, and resets as `publish` has them."""
        learner, at = new_learner(self.application), 0
        rows = self._rows([entry.fields for entry in self.log.topics["rewards"][partition][:number]])
        for action, asked, known in (*resets, ("", 0, number)):
            part = rows[at : min(known, number)]
            learner.learn(part.contexts, part.actions, part.rewards, part.fresh, part.times)
            at = min(known, number)
            if action:
                learner.reset(self.application.actions.index(action), asked)
        return learner

    def ask_reset(self, action: str, at: int) -> None:
        """Log that somebody asks for an arm to be reset."""
        event = DeploymentEvent(
            *(f"reset-{at}", "optdigits", 0, "reset", "main", "main", 0.0, "", "", "ann", at), action=action
        )
        self.log.topics["deployment-events"][0].append(Entry(event.encode(), at))

    def dead_letter(self, topic: str, partition: int, offset: int, reason: str = "too-late") -> None:
        """Put an input into the dead letters."""
        parts = {"topic": topic, "partition": partition, "offset": offset, "exception.class.name": reason}
        headers = tuple((f"__connect.errors.{name}", str(value).encode()) for name, value in parts.items())
        value = self.log.topics[topic][partition][offset].value
        self.log.topics["dead-letters"][partition].append(Entry(value, START + DAY, headers=headers))

    def _rows(self, rewards: list[dict[str, Any]]) -> Rows:
        order = self.application.actions
        return Rows.of(
            np.array([each["decision"]["context"] for each in rewards]),
            np.array([order.index(each["decision"]["action"]) for each in rewards]),
            np.array([each["reward"] - each["previous_reward"] for each in rewards]),
            np.array([each["revision"] == 0 for each in rewards]),
            np.array([each["decision_time"] for each in rewards]),
        )
