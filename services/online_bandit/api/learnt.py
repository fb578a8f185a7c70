"""What the log has taught: replicas of the learners, and the policies solved from them.

Everything here is plain computing for one worker thread; the event loop only takes what comes out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from services.online_bandit.api import segments
from services.online_bandit.api.segments import Record
from services.online_bandit.api.served import ServedPolicy
from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.core.policies.solving import solve
from shared.telemetry.logging import logger
from shared.wire.codec import WireError, decode, encode
from shared.wire.policy_replicas import Name, Replica, Replicas
from shared.wire.policy_updates import Source, snapshot_records
from shared.wire.schemas import schema

TOPIC = "policy-updates"
#: Milliseconds since 1970.
Clock = Callable[[], int]


class LearntPolicies:
    """The newest statistics of every application's policy."""

    def __init__(self, applications: Mapping[str, Application], clock: Clock) -> None:
        self._names = {name: policy_name(application) for name, application in applications.items()}
        self._new = {name: partial(new_learner, application) for name, application in applications.items()}
        self._replicas = Replicas({(name, self._names[name]): new for name, new in self._new.items()})
        self._updated: dict[str, int] = {}
        self._clock = clock

    def untrained(self) -> dict[str, ServedPolicy]:
        """Every application's policy at version 0: all actions alike."""
        return {
            application: ServedPolicy(application, name, (), solve([new()]), None, self._clock())
            for (application, name), new in zip(self._names.items(), self._new.values(), strict=True)
        }

    def absorb(self, updates: Iterable[tuple[bytes | None, int]]) -> tuple[set[str], int]:
        """Take (value, timestamp) of the log's next records.

        Returns the applications with news, and how many records no learner can have written.
        """
        news: set[Name] = set()
        broken = 0
        for value, timestamp in updates:
            try:
                changed = self._replicas.apply(decode(schema(TOPIC), value))
            except (WireError, ValueError, KeyError, TypeError) as error:
                logger(__name__).error("policy update cannot be used", why=str(error))
                broken += 1
                continue
            news |= changed
            self._updated.update((application, timestamp) for application, _ in changed)
        return {application for application, _ in news}, broken

    def solved(self, application: str, previous: ServedPolicy) -> ServedPolicy:
        """The policy as learnt so far; `previous` lends the coefficients that have not changed."""
        replica = self._replica(application)
        offsets, learners = replica.offsets, replica.learners or [self._new[application]()]
        model = previous.model
        same = model.learnt == sum(learner.learnt for learner in learners)
        if not same or model.signature.scaling != (replica.scaling or model.signature.scaling):
            model = solve(learners, model)
        learnt_at = self._updated.get(application)
        resets = sum(len(learner.resets) for learner in learners)
        return ServedPolicy(application, previous.name, offsets, model, learnt_at, self._clock(), resets)

    def save(self, path: Path) -> None:
        """Keep everything learnt in a file that `load` reads."""
        segments.replace(path, self._records())

    def _records(self) -> Iterator[Record]:
        """One partition's statistics after the other: together they would double what this process holds."""
        for (application, policy), replica in self._replicas.policies.items():
            for number, part in replica.partitions.items():
                source = Source(application, policy, number)
                for key, record in snapshot_records(
                    source, part.learner, sequence=part.sequence, next_offset=part.next_offset
                ):
                    yield Record(TOPIC, key, encode(schema(TOPIC), record))

    def load(self, path: Path, timestamp: int) -> set[str]:
        """Take what `save` kept; the applications it tells something about."""
        if not path.exists():
            return set()
        records, _ = segments.read(path)
        return self.absorb((record.value, timestamp) for record in records)[0]

    def _replica(self, application: str) -> Replica:
        return self._replicas.policies[application, self._names[application]]
