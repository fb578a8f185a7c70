"""Candidates in the order of their topic: each is evaluated, or passed over for a reason, in its turn.

One at a time, in a thread beside the one that polls Kafka, so that the group keeps its member however long an
evaluation takes.
"""

from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from services.evaluator.following import CANDIDATES, EVALUATIONS
from services.evaluator.handlers import Standing
from services.evaluator.lineage import Lineage
from shared.broker import dead_letters
from shared.broker.ledger import Outgoing
from shared.broker.partitioner import partition_for
from shared.telemetry.metrics import Metrics
from shared.wire.codec import WireError
from shared.wire.rollouts import Evaluation
from shared.wire.training import Candidate, read_candidate

DEAD_LETTERS, STAGE = "dead-letters", "evaluator"
MOST = 100
"""Candidates read ahead; more wait in Kafka."""

Evaluate = Callable[[Candidate, Lineage, float], Evaluation]
#: Writes records and the offset of the next candidate, or neither.
Write = Callable[[list[Outgoing], int], None]


@dataclass(frozen=True)
class Waiting:
    """A record whose turn has not come: a candidate, or why it is none."""

    record: Any
    candidate: Candidate | None = None
    error: WireError | None = None


class Turns:
    """What has been read and not been answered; `position` is the first offset that is not in the log as
    done."""

    def __init__(
        self,
        evaluate: Evaluate,
        thread: ThreadPoolExecutor,
        write: Write,
        standing: Standing,
        applications: Collection[str],
        dead_partitions: int,
        position: int,
        metrics: Metrics,
    ) -> None:
        self._evaluate, self._thread, self._write = evaluate, thread, write
        self._standing, self._applications, self._metrics = standing, applications, metrics
        self._dead_partitions = dead_partitions
        self._waiting: deque[Waiting] = deque()
        self._running: tuple[Waiting, Future[Evaluation]] | None = None
        self._next = self.position = position

    @property
    def full(self) -> bool:
        """Whether no more should be read now."""
        return len(self._waiting) >= MOST

    def read(self, record: Any) -> None:
        """Take a record of candidates."""
        self._metrics.records_in.labels(CANDIDATES).inc()
        try:
            self._waiting.append(Waiting(record, read_candidate(record.value)))
        except WireError as error:
            self._waiting.append(Waiting(record, error=error))

    def tend(self) -> None:
        """Go on with the candidate under way, or with what waits longest.

        Raises what evaluating and writing raise.
        """
        if self._running is not None:
            waiting, evaluated = self._running
            if not evaluated.done():
                return
            self._running = None
            self._publish(waiting, evaluated.result())
        while self._waiting and self._running is None:
            self._begin(self._waiting.popleft())
        if self._running is None and self._next > self.position:
            self._done(self._next)

    def _begin(self, waiting: Waiting) -> None:
        after = waiting.record.offset + 1
        if waiting.error is not None:
            self._done(after, self._dead(waiting.record, waiting.error))
            self._metrics.records_dead.labels(CANDIDATES, waiting.error.reason).inc()
        elif waiting.candidate is not None and not (passed := self._passed_over(waiting.candidate)):
            self._standing.learn_candidate(waiting.candidate)
            lineage = self._standing.lineage(waiting.candidate)
            widening = self._standing.widening(waiting.candidate.application)
            work = self._thread.submit(self._evaluate, waiting.candidate, lineage, widening)
            self._running = (waiting, work)
        elif passed == "duplicate":
            self._next = after
            self._metrics.records_duplicate.labels(CANDIDATES).inc()
        else:
            self._next = after
            self._metrics.records_filtered.labels(CANDIDATES, passed).inc()

    def _passed_over(self, candidate: Candidate) -> str:
        """Why a candidate is not evaluated, empty if it is."""
        if candidate.status != "trained":
            return "not-trained"
        if candidate.application not in self._applications:
            return "unknown-application"
        key = (candidate.application, candidate.candidate_id)
        return "duplicate" if key in self._standing.judged else ""

    def _publish(self, waiting: Waiting, evaluation: Evaluation) -> None:
        self._done(waiting.record.offset + 1, outgoing(evaluation))
        self._standing.learn_evaluation(evaluation)
        self._metrics.evaluations.labels(evaluation.application, evaluation.kind, evaluation.verdict).inc()

    def _done(self, after: int, *records: Outgoing) -> None:
        self._write(list(records), after)
        self._next = self.position = after

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
