"""What the online policy decided with, learnt again from the rewards up to the offsets decisions name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappush, heapreplace
from itertools import chain, count, product
from math import prod
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
from shared.core.policies.resets import Reset
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
CHOICES = 256
"""Of resets that partitions may have known at one version; with more, its decisions are not looked at."""

Offsets = tuple[int, ...]
Choice = tuple[int, ...]
Check = Callable[[Sequence[Answer]], str | None]
"""What is wrong with a decision, given all that the policy may have answered."""


@dataclass(frozen=True)
class Sampled:
    """A decision in which the online policy had a part."""

    decision_id: str
    offsets: Offsets
    asked: Asked
    check: Check
    resets: int | None = None
    """Resets of arms that were known then, in all partitions together; None if that is not logged."""


@dataclass
class Sample:
    """The decisions of one application that are looked at."""

    application: Application
    resets: Sequence[Sequence[Reset]] = ()
    """Those that the learner of each partition has done."""
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
        resets = [*self.resets, *[()] * len(rows)][: len(rows)]
        versions = _Versions(self.application, rows, resets)
        for offsets in sorted(chosen, key=lambda each: (sum(each), each)):
            for sampled in groups[offsets]:
                if problem := self._problem(versions, sampled):
                    yield sampled.decision_id, problem

    def _affordable(self) -> int:
        like = new_learner(self.application).folded
        return max(FEWEST, int(WORK / (like.actions * like.size**3)))

    def _problem(self, versions: _Versions, sampled: Sampled) -> str | None:
        chosen = versions.choices(sampled.offsets, sampled.resets)
        if chosen is None:
            return None
        problem: str | None = "its policy_version counts resets that its policy_offsets do not allow"
        for model in chain.from_iterable(map(versions.models, chosen)):
            problem = sampled.check(list(online_answers(model, self.application, sampled.asked)))
            if problem is None:
                return None
        return problem


class _Versions:
    """The online policy at ever later offsets."""

    def __init__(
        self,
        application: Application,
        rows: Sequence[tuple[np.ndarray, Rows]],
        resets: Sequence[Sequence[Reset]],
    ) -> None:
        self._application, self._rows, self._resets = application, rows, resets
        self._learners: list[Learner] = []
        self._at: Offsets = ()
        self._model: Model | None = None
        self._begin()

    def choices(self, offsets: Offsets, resets: int | None) -> list[Choice] | None:
        """What may have been known at these offsets: of each partition, so many more of its newest resets.

        `resets`: how many were known in all; None for whatever number. None if there is too much to be tried.
        """
        offsets = offsets + (0,) * (len(self._rows) - len(offsets))
        if any(now < then for now, then in zip(offsets, self._at, strict=True)):
            self._begin()
        if offsets != self._at or self._model is None:
            for partition, offset in enumerate(offsets):
                self._learn(partition, offset)
            self._at = offsets
            self._model = solve(self._learners, self._model)
        known = sum(len(learner.resets) for learner in self._learners)
        most = [range(len(each) + 1) for each in self._newest()]
        if prod(map(len, most)) > CHOICES:
            return None
        return [each for each in product(*most) if resets is None or sum(each) == resets - known]

    def models(self, more: Choice) -> Iterator[Model]:
        """The model there. In the moment in which the scaling is settled it may be the one before that or
        after it."""
        learners, model = self._learners, self._model
        if any(more) or model is None:
            learners = [self._copy(each) for each in learners]
            for learner, resets, number in zip(learners, self._newest(), more, strict=True):
                for reset in resets[:number]:
                    learner.repeat(reset)
            model = solve(learners)
        yield model
        if learners[0].scaling is None and (scaling := self._coming()) is not None:
            learners = [self._copy(each) for each in learners]
            for each in learners:
                each.set_scaling(scaling)
            yield solve(learners)

    def _newest(self) -> list[Sequence[Reset]]:
        """Of each partition the resets that may be known now, and that later rewards were learnt after."""
        found: list[Sequence[Reset]] = []
        for learner, resets in zip(self._learners, self._resets, strict=True):
            done = len(learner.resets)
            found.append([each for each in resets[done:] if each.row <= learner.learnt - done])
        return found

    def _begin(self) -> None:
        self._learners = [new_learner(self._application) for _ in self._rows]
        self._at, self._model = (0,) * len(self._rows), None

    def _learn(self, partition: int, offset: int) -> None:
        places, rows = self._rows[partition]
        start, end = np.searchsorted(places, [self._at[partition], offset])
        part, learner = rows[start:end], self._learners[partition]
        # A reset may come before what it forgets, to the same bytes; what is learnt after it has to wait.
        for reset in self._resets[partition][len(learner.resets) :]:
            if reset.row < end:
                learner.repeat(reset)
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
