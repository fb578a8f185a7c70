"""What the online policy decided with, learnt again from the rewards up to the offsets decisions name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappush, heapreplace
from itertools import count
from zlib import crc32

import numpy as np

from shared.applications.contract import Application
from shared.applications.policies import new_learner
from shared.cli.audit.answers import Answer, Asked, online_answers
from shared.cli.audit.learning import placed
from shared.cli.topic_log import Log
from shared.core.features.scaling import Scaling
from shared.core.policies.learner import Learner
from shared.core.policies.model import Model
from shared.core.policies.rows import Rows
from shared.core.policies.solving import solve
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema

SAMPLE = 1_000
"""Decisions of each application that are looked at: those with the smallest CRC of their id."""
WORK = 5e10
"""Multiplications that an application's versions may take to be solved: some seconds. Large models are solved
for fewer versions."""
FEWEST = 5
"""Versions that are solved whatever it takes."""

Offsets = tuple[int, ...]
Check = Callable[[Sequence[Answer]], str | None]
"""What is wrong with a decision, given all that the policy may have answered."""


@dataclass(frozen=True)
class Sampled:
    """A decision in which the online policy had a part."""

    decision_id: str
    offsets: Offsets
    asked: Asked
    check: Check


@dataclass
class Sample:
    """The decisions of one application that are looked at."""

    application: Application
    most: int = SAMPLE
    _heap: list[tuple[int, int, Sampled]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)

    def offer(self, decision_id: str) -> bool:
        """Whether a decision would be in the sample: what it takes to check it need not be made otherwise."""
        return len(self._heap) < self.most or -crc32(decision_id.encode()) > self._heap[0][0]

    def add(self, sampled: Sampled) -> None:
        """Take a decision that was offered."""
        entry = -crc32(sampled.decision_id.encode()), next(self._order), sampled
        (heapreplace if len(self._heap) >= self.most else heappush)(self._heap, entry)

    def problems(self, log: Log) -> Iterator[tuple[str, str]]:
        """(decision, what is wrong) with the decisions of as many versions as there is work for.

        Rewards of the application are in memory meanwhile: 4 bytes a feature and 21 more for each.
        """
        groups: dict[Offsets, list[Sampled]] = {}
        for _, _, sampled in sorted(self._heap, reverse=True):
            groups.setdefault(sampled.offsets, []).append(sampled)
        chosen = list(groups)[: self._affordable()]
        rows = _rows(log, self.application, chosen)
        if not chosen or rows is None:
            return
        versions = _Versions(self.application, rows)
        for offsets in sorted(chosen, key=lambda each: (sum(each), each)):
            for sampled in groups[offsets]:
                if problem := self._problem(versions, sampled):
                    yield sampled.decision_id, problem

    def _affordable(self) -> int:
        like = new_learner(self.application).folded
        return max(FEWEST, int(WORK / (like.actions * like.size**3)))

    def _problem(self, versions: _Versions, sampled: Sampled) -> str | None:
        problem: str | None = None
        for model in versions.models(sampled.offsets):
            problem = sampled.check(list(online_answers(model, self.application, sampled.asked)))
            if problem is None:
                return None
        return problem


class _Versions:
    """The online policy at ever later offsets."""

    def __init__(self, application: Application, rows: Sequence[tuple[np.ndarray, Rows]]) -> None:
        self._application, self._rows = application, rows
        self._learners: list[Learner] = []
        self._at: Offsets = ()
        self._model: Model | None = None
        self._begin()

    def models(self, offsets: Offsets) -> Iterable[Model]:
        """The model at these offsets. In the moment in which the scaling is settled it may be the one before
        that or after it."""
        offsets = offsets + (0,) * (len(self._rows) - len(offsets))
        if any(now < then for now, then in zip(offsets, self._at, strict=True)):
            self._begin()
        if offsets != self._at or self._model is None:
            for partition, offset in enumerate(offsets):
                self._learn(partition, offset)
            self._at = offsets
            self._model = solve(self._learners, self._model)
        yield self._model
        if self._learners[0].scaling is None and (scaling := self._coming()) is not None:
            learners = [self._copy(each) for each in self._learners]
            for each in learners:
                each.set_scaling(scaling)
            yield solve(learners)

    def _begin(self) -> None:
        self._learners = [new_learner(self._application) for _ in self._rows]
        self._at, self._model = (0,) * len(self._rows), None

    def _learn(self, partition: int, offset: int) -> None:
        places, rows = self._rows[partition]
        part = rows[slice(*np.searchsorted(places, [self._at[partition], offset]))]
        learner = self._learners[partition]
        learner.learn(part.contexts, part.actions, part.rewards, part.fresh, part.times)
        # As in the loop: partition 0's first rewards give all partitions their scaling.
        if partition == 0 and (scaling := learner.propose_scaling()) is not None:
            for each in self._learners:
                each.set_scaling(scaling)

    def _coming(self) -> Scaling | None:
        first = new_learner(self._application)
        _, rows = self._rows[0]
        first.learn(rows.contexts, rows.actions, rows.rewards, rows.fresh, rows.times)
        return first.propose_scaling()

    def _copy(self, learner: Learner) -> Learner:
        return Learner.from_bytes(learner.to_bytes())


def _rows(
    log: Log, application: Application, versions: Sequence[Offsets]
) -> list[tuple[np.ndarray, Rows]] | None:
    """Of each partition the offsets and rows that any of the versions has learnt; None if the log no longer
    has its beginning."""
    found = []
    for partition in log.partitions("rewards"):
        end = max((each[partition] for each in versions if partition < len(each)), default=0)
        places, parts = [np.zeros(0, np.int64)], [_empty(application)]
        for records in log.read("rewards", partition, 0, end) if end else ():
            if len(places) == 1 and records.offsets[0] > 0:
                return None
            columns = decode_columns(schema("rewards"), records.values)
            rows, kept = placed(application, columns.frame)
            parts.append(rows)
            places.append(records.offsets[columns.rows][kept])
        found.append((np.concatenate(places), Rows.concat(parts)))
    return found


def _empty(application: Application) -> Rows:
    return Rows.empty(application.context_width + application.action_width)
