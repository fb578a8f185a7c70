"""Candidates in the order of their topic: each is evaluated, or passed over for a reason, in its turn.

In threads beside the one that polls Kafka, so that the group keeps its member however long an evaluation
takes. An application's candidates are evaluated one after the other: who waits for a storage that cannot be
reached holds up later ones of its application, and of no other.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from services.evaluator.evaluating import Evaluating
from services.evaluator.following import CANDIDATES, EVALUATIONS
from services.evaluator.handlers import Standing
from shared.algorithms.reaching import Attempts, Unreachable
from shared.broker import dead_letters
from shared.broker.ledger import Outgoing
from shared.broker.partitioner import partition_for
from shared.telemetry.metrics import Metrics
from shared.wire.codec import WireError
from shared.wire.rollouts import Evaluation
from shared.wire.training import Candidate, read_candidate

DEAD_LETTERS, STAGE = "dead-letters", "evaluator"
MOST = 100
"""Candidates read ahead, or answered behind one that waits; more wait in Kafka."""
#: Writes records and the first offset that is not in the log as done, or neither.
Write = Callable[[list[Outgoing], int], None]
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Turn:
    """A record that is not in the log as done: a candidate, or why it is none."""

    record: Any
    candidate: Candidate | None = None
    error: WireError | None = None
    attempts: Attempts | None = None
    """Since its first one."""
    due: float = 0.0
    """When it is evaluated, by the monotonic clock."""
    evaluated: Future[Evaluation] | None = None
    done: bool = False


class Turns:
    """What has been read and not been answered; `position` is the first offset that is not in the log as
    done. What is done behind it is known by its evaluation to whoever reads it again."""

    def __init__(
        self,
        evaluating: Evaluating,
        threads: ThreadPoolExecutor,
        write: Write,
        standing: Standing,
        applications: Collection[str],
        dead_partitions: int,
        position: int,
        storage_limit_s: float,
        metrics: Metrics,
    ) -> None:
        self._evaluating, self._threads, self._write = evaluating, threads, write
        self._standing, self._applications, self._metrics = standing, applications, metrics
        self._dead_partitions, self._storage_limit_s = dead_partitions, storage_limit_s
        self._turns: deque[Turn] = deque()
        self._next = self.position = position

    @property
    def full(self) -> bool:
        """Whether no more should be read now."""
        return len(self._turns) >= MOST

    def read(self, record: Any) -> None:
        """Take a record of candidates."""
        self._metrics.records_in.labels(CANDIDATES).inc()
        self._next = record.offset + 1
        try:
            self._turns.append(Turn(record, read_candidate(record.value)))
        except WireError as error:
            self._turns.append(Turn(record, error=error))

    def tend(self) -> None:
        """Go on with whatever is evaluated, or may be.

        Raises what evaluating and writing raise.
        """
        for turn in list(self._turns):
            if turn.evaluated is not None and turn.evaluated.done():
                self._end(turn, turn.evaluated)
        self._begin()
        if self._reached() > self.position:
            self._commit()

    def _begin(self) -> None:
        """Begin each application's first candidate that is not done, if it is due."""
        taken = set[str]()
        for turn in [each for each in self._turns if not each.done]:
            if turn.candidate is None:
                self._bury(turn)
                continue
            name = turn.candidate.application
            if name in taken:
                continue
            if passed := self._passed_over(turn.candidate):
                self._pass_over(turn, passed)
                continue
            taken.add(name)
            if turn.evaluated is None and time.monotonic() >= turn.due:
                self._evaluate(turn, turn.candidate)

    def _evaluate(self, turn: Turn, candidate: Candidate) -> None:
        turn.attempts = turn.attempts or Attempts(self._storage_limit_s)
        self._standing.learn_candidate(candidate)
        lineage = self._standing.lineage(candidate)
        widening = self._standing.widening(candidate.application)
        turn.evaluated = self._threads.submit(self._evaluating.evaluate, candidate, lineage, widening)

    def _end(self, turn: Turn, evaluated: Future[Evaluation]) -> None:
        assert turn.candidate is not None
        assert turn.attempts is not None
        turn.evaluated = None
        try:
            evaluation = evaluated.result()
        except Unreachable as error:
            log.warning("%s waits: %s", turn.candidate.candidate_id, error)
            if (pause := turn.attempts.pause()) is not None:
                turn.due = time.monotonic() + pause
                return
            evaluation = self._evaluating.given_up(turn.candidate, turn.attempts.told(str(error)))
        turn.done = True
        self._commit(outgoing(evaluation))
        self._standing.learn_evaluation(evaluation)
        self._metrics.evaluations.labels(evaluation.application, evaluation.kind, evaluation.verdict).inc()

    def _passed_over(self, candidate: Candidate) -> str:
        """Why a candidate is not evaluated, empty if it is."""
        if candidate.status != "trained":
            return "not-trained"
        if candidate.application not in self._applications:
            return "unknown-application"
        key = (candidate.application, candidate.candidate_id)
        return "duplicate" if key in self._standing.judged else ""

    def _pass_over(self, turn: Turn, why: str) -> None:
        turn.done = True
        if why == "duplicate":
            self._metrics.records_duplicate.labels(CANDIDATES).inc()
        else:
            self._metrics.records_filtered.labels(CANDIDATES, why).inc()

    def _bury(self, turn: Turn) -> None:
        """Put what is no candidate into the dead letters, once all before it is done: nothing but its offset
        tells who takes over that it was."""
        if turn.error is None or self._reached() < turn.record.offset:
            return
        turn.done = True
        self._commit(self._dead(turn.record, turn.error))
        self._metrics.records_dead.labels(CANDIDATES, turn.error.reason).inc()

    def _reached(self) -> int:
        """The first offset that is not done."""
        while self._turns and self._turns[0].done:
            self._turns.popleft()
        return int(self._turns[0].record.offset) if self._turns else self._next

    def _commit(self, *records: Outgoing) -> None:
        reached = self._reached()
        self._write(list(records), reached)
        self.position = reached

    def _dead(self, record: Any, error: WireError) -> Outgoing:
        headers = dead_letters.headers(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=error.reason,
            message=str(error),
            stage=STAGE,
        )
        partition = partition_for(record.key or b"", self._dead_partitions)
        return Outgoing(DEAD_LETTERS, record.key, record.value, headers, partition)


def outgoing(evaluation: Evaluation) -> Outgoing:
    """An evaluation on its way into the log."""
    return Outgoing(EVALUATIONS, evaluation.application.encode(), evaluation.encode())
