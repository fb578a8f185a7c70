"""Follows candidates as decisions flow: one reader of all rewards, and statistics for each candidate.

Each candidate knows the offsets that it has counted, so whenever one is new, or comes back from its snapshot,
the reader goes back as far as it must, and nothing counts twice.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
from kafka import TopicPartition

from services.evaluator import rewards, snapshots
from services.evaluator.asking import Unusable
from services.evaluator.evaluating import about_candidate
from services.evaluator.judging import settings_of
from services.evaluator.loading import Loader
from services.evaluator.looking import look, not_followed
from services.evaluator.preparing import Preparing
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.shadow import Shadow, begins
from services.evaluator.showing import Shown
from services.evaluator.weighing import Weigher
from shared.applications.contract import Application
from shared.broker.settings import BrokerSettings
from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import Evaluation, Kind
from shared.wire.training import Candidate

GROUP = "evaluator-shadow"
BUDGET_S = 0.2
"""How long rewards are counted at a time, before candidates are looked after again."""
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Followed:
    """A candidate that is followed; `ends` are where rewards ended when that began."""

    shadow: Shadow
    ends: Mapping[int, int]

    def caught_up(self, last: Evaluation | None) -> bool:
        """Whether all is counted that was there at the start, or that a look told of before."""
        told = {} if last is None else {span.partition: span.next for span in last.data}
        after = self.shadow.next
        return all(after[p] >= end for p, end in self.ends.items()) and all(
            after.get(p, 0) >= end for p, end in told.items()
        )


class Watcher:
    """Raises kafka.errors.KafkaError. `clock` is in milliseconds since 1970.

    `learn` makes known every rollout that began before the rewards which were read.
    """

    def __init__(
        self,
        settings: EvaluatorSettings,
        broker: BrokerSettings,
        applications: Mapping[str, Application],
        partitions: int,
        preparing: Preparing,
        learn: Callable[[], None],
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._settings, self._applications, self._clock = settings, applications, clock
        self._learn = learn
        self._metrics, self._shown = metrics, Shown(metrics)
        self._folder = settings.state / "shadows"
        self._consumer: Any = rewards.consumer(broker, GROUP)
        self._places = [TopicPartition(broker.topic(rewards.TOPIC), number) for number in range(partitions)]
        self._consumer.assign(self._places)
        self._loader = Loader(preparing.weigher, settings.storage_limit.total_seconds())
        self._followed: dict[str, Followed] = {}
        self._unusable: dict[str, tuple[Candidate, Unusable]] = {}
        self._saved = time.monotonic()
        self.progress: dict[TopicPartition, int] = {}
        """Offsets that every candidate has counted."""

    @property
    def member(self) -> Any:
        """For committing offsets."""
        return self._consumer.group_metadata()

    def follow(self, wanted: Iterable[Candidate]) -> None:
        """Follow these candidates, each once it can be weighed, and no others."""
        names = {each.candidate_id: each for each in wanted}
        for gone in self._followed.keys() - names.keys():
            self._drop(gone)
        for gone in self._loader.names - names.keys():
            self._loader.drop(gone)
        for gone in self._unusable.keys() - names.keys():
            self._shown.hide(self._unusable.pop(gone)[0])
        known = self._followed.keys() | self._loader.names | self._unusable.keys()
        for name, each in names.items():
            if name not in known:
                self._loader.begin(each)
        begun = False
        for candidate, made in self._loader.ready():
            if isinstance(made, Unusable):
                self._refuse(candidate, made)
            else:
                self._begin(candidate, made)
                begun = True
        if begun:
            self._go_back()

    def read(self) -> bool:
        """Count rewards for a moment; whether there were any."""
        if not self._followed:
            return False
        until, found = time.monotonic() + BUDGET_S, False
        while time.monotonic() < until:
            polled = self._consumer.poll(timeout_ms=0)
            if not polled:
                break
            found = True
            if any(each.shadow.weigher.traits.rollouts for each in self._followed.values()):
                self._learn()
            for where, records in polled.items():
                self._take(where, records)
        for where in self._places:  # past what is no record: transactions' markers
            position = self._consumer.position(where)
            for each in self._followed.values():
                each.shadow.next[where.partition] = max(each.shadow.next[where.partition], position)
        self._measure()
        return found

    def looks(
        self, widening: Callable[[str], float], last: Callable[[Candidate], Evaluation | None]
    ) -> Iterator[Evaluation]:
        """What is to be said now of candidates that have all counted, and of those that cannot be followed;
        `last` is what was said before."""
        now = self._clock()
        for candidate, why in self._unusable.values():
            refused = not_followed(about_candidate(candidate, now), why.name, str(why))
            self._shown.show(refused)
            yield refused
        for each in self._followed.values():
            candidate = each.shadow.candidate
            if not each.caught_up(last(candidate)):
                continue
            application = self._applications[candidate.application]
            settings = settings_of(
                application.settings, widening(candidate.application), self._settings.tuned_at
            )
            found = look(about_candidate(candidate, now), each.shadow, settings, application.settings)
            self._shown.show(found)
            if (
                found.verdict == "refused"
                or found.decisions >= application.settings.evaluation.least_decisions
            ):
                yield found

    def keep(self) -> None:
        """Write statistics to disk, if it is time. Raises OSError."""
        if time.monotonic() - self._saved >= self._settings.snapshot_every.total_seconds():
            self.save()

    def save(self) -> None:
        """Write statistics to disk. Raises OSError."""
        self._saved = time.monotonic()
        for each in self._followed.values():
            snapshots.save(self._folder, each.shadow)
        self.progress = {
            where: min(each.shadow.next[where.partition] for each in self._followed.values())
            for where in self._places
            if self._followed
        }

    def close(self) -> None:
        """Disconnect."""
        self._loader.close()
        self._consumer.close()

    def _refuse(self, candidate: Candidate, why: Unusable) -> None:
        self._unusable[candidate.candidate_id] = candidate, why
        log.warning("%s is not followed: %s", candidate.candidate_id, why)

    def _begin(self, candidate: Candidate, weigher: Weigher) -> None:
        application = self._applications[candidate.application]
        first = rewards.first_offsets(self._consumer, self._places, begins(candidate))
        ends = {w.partition: end for w, end in self._consumer.end_offsets(self._places).items()}
        guards = [each.name for each in settings_of(application.settings, 1.0, 1.0).guards]
        begun = Shadow.begin(candidate, weigher, guards, {w.partition: offset for w, offset in first.items()})
        shadow = snapshots.restore(self._folder, begun, ends)
        self._followed[candidate.candidate_id] = Followed(shadow, ends)

    def _go_back(self) -> None:
        if not self._followed:
            return
        for where in self._places:
            self._consumer.seek(
                where, min(each.shadow.next[where.partition] for each in self._followed.values())
            )

    def _take(self, where: TopicPartition, records: list[Any]) -> None:
        asked = any(each.shadow.weigher.traits.attributes for each in self._followed.values())
        frame, undecodable = rewards.decode(records, attributes=asked)
        end = records[-1].offset + 1
        self._metrics.records_in.labels(rewards.TOPIC).inc(len(records))
        if undecodable:
            self._metrics.records_filtered.labels(rewards.TOPIC, "undecodable").inc(undecodable)
        for name in list(self._followed):
            each = self._followed[name]
            application = self._applications[each.shadow.candidate.application]
            mine = frame.filter(pl.col("application") == application.name)
            try:
                each.shadow.take(mine, where.partition, end, application)
            except Unusable as error:
                self._refuse(each.shadow.candidate, error)
                self._drop(name)

    def _drop(self, name: str) -> None:
        candidate = self._followed.pop(name).shadow.candidate
        snapshots.forget(self._folder, candidate)
        self._shown.hide(candidate)

    def _measure(self) -> None:
        for where in self._places:
            behind = min(each.shadow.next[where.partition] for each in self._followed.values())
            end = self._consumer.highwater(where)
            lag = 0 if end is None else max(0, end - behind)
            self._metrics.lag_records.labels(rewards.TOPIC, where.partition).set(lag)


def worth_saying(found: Evaluation, stood: Mapping[Kind, Evaluation], every_ms: int) -> bool:
    """Whether a look goes into the log, given the candidate's last evaluations by kind: when the verdict is
    another, or after a while if there is news. A first one that settles nothing does not take back a pass."""
    last = stood.get("shadow")
    if last is None:
        known = stood.get("log")
        return found.verdict != "inconclusive" or known is None or known.verdict != "pass"
    news = found.decisions != last.decisions
    return news and (found.verdict != last.verdict or found.at - last.at >= every_ms)
