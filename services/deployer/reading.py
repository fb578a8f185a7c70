"""Rewards of the stages under way, from where each began, into their cohorts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import polars as pl
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import UnknownTopicOrPartitionError

from services.deployer.book import Watch
from shared.broker.settings import BrokerSettings
from shared.core.rollout.arms import bucket
from shared.core.rollout.cohorts import ArmName, Cohorts, Revision
from shared.telemetry.metrics import Metrics
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema
from shared.wire.views import view

TOPIC = "rewards"
SETTLE_MS = 1_000
"""How long after a partition is read to its end its rewards may still be on their way from the join."""
_READ = ("decision_id", "arm", "subject_id")
_FILTERED = ("application", "policy", "share", "decided_at")
_REWARD = ("decision_time", "revision", "reward", "components", "previous_reward", "is_default")
_VIEW = view(schema("rewards"), (*(f"decision.{name}" for name in _READ + _FILTERED), *_REWARD))
Role = Literal["stage", "standing"]
"""What an application's rewards are read for: the stage under way, or how stable does outside of stages."""
SHARES = 1e-9
"""Logged shares are those of the stage but for rounding."""


@dataclass(frozen=True)
class Metric:
    """A number of each reward that is guarded."""

    component: str
    """Name of a component, or `reward`."""
    above: float | None = None
    """If given, the number is whether the component is above this."""
    rate: bool = False
    """Whether the component is 0 where nobody did anything; otherwise there is none then."""

    def value(self, reward: float, parts: Mapping[str, float], is_default: bool) -> float | None:
        """The number; None where there is none."""
        if self.component == "reward":
            found: float | None = reward
        elif is_default:
            found = 0.0 if self.rate else None
        else:
            found = parts.get(self.component)
        if found is None or not isfinite(found):
            return None
        return found if self.above is None else float(found > self.above)


@dataclass
class Staged:
    """A stage under way and its cohorts, over the guarded metrics, the reward first.

    Without a share it is what stable decides outside of stages too, whoever gets it.
    """

    watch: Watch
    share: float | None
    metrics: Sequence[Metric]
    cohorts: Cohorts

    def revisions(self, frame: pl.DataFrame, application: str, partition: int) -> Iterator[Revision]:
        """Rewards of decisions of this stage, in the frame's order."""
        rows = frame.filter(self._mine(application, partition)).select(
            *(f"decision.{name}" for name in _READ), *_REWARD
        )
        several = len(self.metrics) > 1
        for row in rows.iter_rows():
            decision_id, arm, subject, time, revision, reward, components, previous, is_default = row
            parts = {each["name"]: each["value"] for each in components} if several else {}
            values = tuple(metric.value(reward, parts, is_default) for metric in self.metrics)
            side: ArmName = "stable" if self.share is None else arm
            yield Revision(decision_id, side, bucket(subject), time, revision, values, previous)

    def _mine(self, application: str, partition: int) -> pl.Expr:
        watch, arm = self.watch, pl.col("decision.arm")
        share, policy = pl.col("decision.share"), pl.col("decision.policy")
        canary = (arm == "canary") & (self.share is not None)
        due = pl.when(canary).then(pl.lit(watch.policy)).otherwise(pl.lit(watch.stable))
        # The online policy's name is followed by a digest of what it learns from.
        named = (policy == due) | (policy.str.split("@").list.first() == due)
        own = (
            (pl.col("decision.application") == application)
            & (pl.col("offset") >= watch.offsets.get(partition, 0))
            & (pl.col("decision.decided_at") >= watch.since)
            & named
        )
        if self.share is None:
            return own
        shared = ((share - self.share).abs() <= SHARES) | ((share - (1 - self.share)).abs() <= SHARES)
        return own & arm.is_in(["stable", "canary"]) & (share.is_null() | shared)


class RewardReader:
    """Reads every partition of `rewards`, without a group. Raises kafka.errors.KafkaError."""

    def __init__(self, broker: BrokerSettings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._consumer = KafkaConsumer(
            **broker.kafka_python(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=20_000,
        )
        topic = broker.topic(TOPIC)
        found = self._consumer.partitions_for_topic(topic) or set()
        if not found:
            raise UnknownTopicOrPartitionError(topic)
        self._where = [TopicPartition(topic, each) for each in sorted(found)]
        self._consumer.assign(self._where)
        self._stages: dict[tuple[str, Role], Staged] = {}

    def ends(self) -> dict[int, int]:
        """Where the partitions end now."""
        found = self._consumer.end_offsets(self._where)
        return {where.partition: offset for where, offset in found.items()}

    def positions(self) -> dict[int, int]:
        """The next offset of each partition."""
        return {where.partition: self._consumer.position(where) for where in self._where}

    def stage(self, application: str, role: Role = "stage") -> Staged | None:
        """What is read for an application."""
        return self._stages.get((application, role))

    @property
    def busy(self) -> bool:
        """Whether anything is read."""
        return bool(self._stages)

    def follow(self, application: str, staged: Staged | None, role: Role = "stage") -> None:
        """Read for a stage from where it began, instead of for an earlier one of the application.

        A stage begins where the topic ends, so only who takes over goes back, before the first poll.
        """
        idle = not self._stages
        self._stages.pop((application, role), None)
        if staged is None:
            return
        self._stages[application, role] = staged
        for where in self._where:
            first = staged.watch.offsets.get(where.partition, 0)
            if idle or first < self._consumer.position(where):
                self._consumer.seek(where, first)

    def poll(self, timeout_ms: int, now: int) -> None:
        """Take what there is, waiting for it for a while; `now` is in milliseconds."""
        polled: Mapping[Any, Sequence[Any]] = self._consumer.poll(timeout_ms=timeout_ms)
        for where, records in polled.items():
            self._metrics.records_in.labels(TOPIC).inc(len(records))
            self._take(where.partition, records)
        for where in self._where:
            if where not in polled and self._at_end(where):
                self._advance(where.partition, now - SETTLE_MS)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _at_end(self, where: Any) -> bool:
        high = self._consumer.highwater(where)
        return high is not None and self._consumer.position(where) >= high

    def _advance(self, partition: int, clock: int) -> None:
        for staged in self._stages.values():
            staged.cohorts.advance(partition, clock)

    def _take(self, partition: int, records: Sequence[Any]) -> None:
        decoded = decode_columns(_VIEW, [record.value for record in records])
        for _, error in decoded.bad:
            self._metrics.records_filtered.labels(TOPIC, error.reason).inc()
        offsets = pl.Series("offset", [records[row].offset for row in decoded.rows], dtype=pl.Int64)
        frame = decoded.frame.with_columns(offsets)
        for (application, _), staged in self._stages.items():
            for revision in staged.revisions(frame, application, partition):
                staged.cohorts.take(partition, revision)
        self._advance(partition, max(record.timestamp for record in records))
