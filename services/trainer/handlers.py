"""Requests in the order of their topic, and what becomes of them: no clock, no Kafka, no processes.

What is answered and what is under way is known from the topic `candidates` alone, so a trainer that takes
over begins where the log says.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.wire.training import Candidate, Trigger

REMEMBERED = 1_000
"""Answers that can be asked for; older ones are in the topic."""


@dataclass(frozen=True)
class Job:
    """A request that is not answered. `begun` is the last record of a training that was under way before."""

    trigger: Trigger
    offsets: tuple[int, ...]
    joined: tuple[str, ...] = ()
    begun: Candidate | None = None

    @property
    def id(self) -> str:
        """The request's id, which is the job's."""
        return self.trigger.request_id


class Desk:
    """Who asked for what. Each request gets exactly one terminal `Candidate`, by itself or by joining."""

    def __init__(self, records: Iterable[Candidate], next_offset: int, parallel: int = 1) -> None:
        self.waiting: dict[str, Job] = {}
        self.running: dict[str, Job] = {}
        self.answers: deque[Candidate] = deque(maxlen=REMEMBERED)
        self.last_trained: dict[tuple[str, str], Candidate] = {}
        self._answered: set[str] = set()
        self._begun: dict[str, Candidate] = {}
        self._open: set[int] = set()
        self._next, self._parallel = next_offset, parallel
        for record in records:
            self._learn(record)

    def position(self, answered: Job | None = None) -> int:
        """The offset to commit, once `answered` is too: every request before it has its terminal record."""
        still = self._open.difference(answered.offsets if answered else ())
        return min(still, default=self._next)

    @property
    def jobs(self) -> list[Job]:
        """Everything that is not answered, what runs first."""
        return [*self.running.values(), *self.waiting.values()]

    def answered(self, request_id: str) -> bool:
        """Whether the request has its terminal record."""
        return request_id in self._answered

    def find(self, request_id: str) -> Job | None:
        """The open job that answers a request, joined ones included."""
        return next((job for job in self.jobs if request_id in (job.id, *job.joined)), None)

    def skip(self, offset: int) -> None:
        """A record that asks for nothing here."""
        self._next = max(self._next, offset + 1)

    def take(self, offset: int, trigger: Trigger) -> Job | None:
        """A request; the job that is to do it, None if it is answered already.

        A copy of an open request, or a request for the same as one, joins it.
        """
        self.skip(offset)
        if trigger.request_id in self._answered:
            return None
        self._open.add(offset)
        for jobs in (self.running, self.waiting):
            for job in jobs.values():
                if trigger.request_id == job.id or trigger.wish == job.trigger.wish:
                    jobs[job.id] = _joined(job, offset, trigger.request_id)
                    return jobs[job.id]
        job = Job(trigger, (offset,), begun=self._begun.pop(trigger.request_id, None))
        self.waiting[job.id] = job
        return job

    def due(self) -> list[Job]:
        """Jobs that begin now: one at a time for each application, in the order of the topic."""
        begun = []
        for job in list(self.waiting.values()):
            busy = {other.trigger.application for other in self.running.values()}
            if len(self.running) < self._parallel and job.trigger.application not in busy:
                self.running[job.id] = self.waiting.pop(job.id)
                begun.append(job)
        return begun

    def answer(self, record: Candidate) -> None:
        """The terminal record of an open job was written."""
        job = self.running.pop(record.request_id, None) or self.waiting.pop(record.request_id)
        self._open.difference_update(job.offsets)
        self._learn(record)

    def _learn(self, record: Candidate) -> None:
        if not record.terminal:
            self._begun[record.request_id] = record
            return
        self._begun.pop(record.request_id, None)
        self._answered.update(record.requests)
        self.answers.append(record)
        if record.status == "trained":
            self.last_trained[record.application, record.algorithm] = record


def _joined(job: Job, offset: int, request_id: str) -> Job:
    known = request_id in (job.id, *job.joined)
    joined = job.joined if known else (*job.joined, request_id)
    return replace(job, offsets=(*job.offsets, offset), joined=joined)
