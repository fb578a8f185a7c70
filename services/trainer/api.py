"""The HTTP side: ask for a training, see how it stands, end it; erase a subject."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Lifespan

from services.trainer.experiments import Experiments
from services.trainer.handlers import Job
from services.trainer.ledger import TRIGGERS, read_candidates
from services.trainer.planning import MOST_DAYS, Refused, plan
from services.trainer.service import Trainer
from services.trainer.settings import TrainerSettings
from services.trainer.watching import Watcher
from shared.applications.contract import Application
from shared.archive.archive import Archive
from shared.archive.erasing import erase
from shared.broker.producers import BatchProducer, BufferFull, Unavailable
from shared.broker.settings import BrokerSettings
from shared.http.errors import Problem, install, refusal
from shared.http.keys import KeyCheck
from shared.http.limits import BodyLimit
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.telemetry.requests import RequestMetrics
from shared.telemetry.server import routes
from shared.wire.codec import WireError
from shared.wire.training import Candidate, Reason, Span, Trigger

EXPERIMENTS = "/v1/experiments"
RETRAIN, JOBS, SUBJECTS = "/v1/retrain/{application}", "/v1/jobs", "/v1/subjects/{subject_id}"
CANCEL_S = 10.0
"""How long to wait for a cancellation to be in the log."""
Name = Annotated[str, Field(min_length=1, max_length=100)]
STATUS = {"cancelled": 200, "over": 409, "unknown": 404}
WORDS = {"over": "it has ended already", "unknown": "no open request of this id is known here"}


class RangeBody(BaseModel):
    """Rewards of one partition."""

    model_config = ConfigDict(extra="forbid")

    partition: int = Field(ge=0, lt=1 << 31)
    first_offset: int = Field(ge=0)
    next_offset: int = Field(gt=0)


class RetrainBody(BaseModel):
    """What to train with; everything left out is the application's own choice."""

    model_config = ConfigDict(extra="forbid")

    request_id: Name | None = None
    algorithm: Name | None = None
    preset: Name | None = None
    parameters: dict[str, Any] = {}
    days: float | None = Field(None, gt=0, le=MOST_DAYS)
    data: list[RangeBody] = Field([], max_length=10_000)
    seed: int | None = Field(None, ge=0, lt=1 << 31)
    detail: str = Field("", max_length=1_000)


@dataclass(frozen=True)
class Office:
    """Everything that a request needs; `clock` in milliseconds since 1970."""

    settings: TrainerSettings
    broker: BrokerSettings
    applications: Mapping[str, Application]
    trainer: Trainer
    archive: Archive
    producer: BatchProducer
    metrics: Metrics
    clock: Callable[[], int]
    new_id: Callable[[], str]
    watchers: Mapping[str, Watcher]
    """Of every application; none of them asks for anything."""
    experiments: Experiments

    async def publish(self, trigger: Trigger) -> None:
        """Return once the request is in the log. Raises Refused, WireError, BufferFull, Unavailable."""
        plan(trigger, self.applications)
        topic = self.broker.topic(TRIGGERS)
        await self.producer.send(topic, trigger.application.encode(), trigger.encode())
        self.metrics.records_out.labels(TRIGGERS).inc()

    def jobs(self) -> list[dict[str, Any]]:
        """Open requests, then the answers, the newest first."""
        over = [document(each) for each in reversed(self.trainer.answers)]
        return [*(_open(job, stood) for job, stood in self.trainer.board), *over]

    def standing(self, application: str) -> dict[str, Any]:
        """How far an application is on its way to the next training, and the last one. Raises OSError."""
        found, training = (
            self.watchers[application].standing(self.clock()),
            self.applications[application].settings.training,
        )
        over = [each for each in reversed(self.trainer.answers) if each.application == application]
        size = None if found.buffer is None else found.buffer.size
        return {
            "application": application,
            "buffer": None if size is None else {"size": size, "capacity": training.buffer},
            "new": found.new,
            "every": training.every,
            "counted": training.counted,
            "schedule": training.schedule,
            "should_retrain": found.should_retrain,
            "running": any(job.trigger.application == application for job, _ in self.trainer.board),
            "last_run": document(over[0]) if over else None,
        }

    def job(self, request_id: str) -> dict[str, Any] | None:
        """The job that answers a request."""
        ids = (request_id,)
        return next(
            (each for each in self.jobs() if {each["request_id"], *each["joined"]}.issuperset(ids)), None
        )


def document(candidate: Candidate) -> dict[str, Any]:
    """A record as JSON."""
    return {**asdict(candidate), "lineage": [span.record() for span in candidate.lineage]}


def _open(job: Job, stood: Candidate | None) -> dict[str, Any]:
    asked = job.trigger
    facts: dict[str, Any] = {
        "reason_asked": asked.reason,
        "detail": asked.detail,
        "requested_by": asked.requested_by,
    }
    if stood is not None:
        return {**document(stood), "joined": job.joined, **facts}
    return {
        "request_id": job.id,
        "joined": job.joined,
        "application": asked.application,
        "algorithm": asked.algorithm or "",
        "status": "waiting",
        "requested_at": asked.requested_at,
        **facts,
    }


def create_app(office: Office, health: Health, lifespan: Lifespan[FastAPI]) -> ASGIApp:
    """The trainer's API; `lifespan` runs what it talks to."""
    app = FastAPI(title="Streamwheel trainer", lifespan=lifespan)
    install(app)
    app.router.routes.extend(routes(health, office.metrics.registry))

    @app.post(RETRAIN, status_code=202)
    async def retrain(application: str, body: RetrainBody | None = None) -> Response:
        """Ask for a training. 202 with the request's id means that Kafka has it."""
        if application not in office.applications:
            return refusal(404, [Problem("application", f"there is no {application!r:.100}")])
        asked = body or RetrainBody()
        wrong = [n for n, each in enumerate(asked.data) if each.first_offset >= each.next_offset]
        if wrong:
            return refusal(
                422, [Problem(f"data[{n}].next_offset", "is not above first_offset") for n in wrong]
            )
        trigger = _trigger(application, asked, "manual", "http", office)
        try:
            await office.publish(trigger)
        except Refused as error:
            return refusal(422, [Problem(error.field or "body", error.message)])
        except WireError as error:
            return refusal(422, [Problem("body", str(error))])
        except (BufferFull, Unavailable) as error:
            words = f"Kafka did not take it; ask again with this request_id: {error}"
            return refusal(503, [Problem("", words)], {"Retry-After": "1"}, request_id=trigger.request_id)
        return JSONResponse({"request_id": trigger.request_id}, 202)

    @app.get(RETRAIN)
    async def standing(application: str) -> Response:
        """Samples that are there and new, whether a training is due, and the last one."""
        if application not in office.applications:
            return refusal(404, [Problem("application", f"there is no {application!r:.100}")])
        return JSONResponse(await asyncio.to_thread(office.standing, application))

    @app.get(EXPERIMENTS)
    async def list_experiments() -> Response:
        """Every test of variants: means and differences from the control, with confidence sequences."""
        return JSONResponse(
            {"experiments": [each.document() for each in office.experiments.figures.values()]}
        )

    @app.get(f"{EXPERIMENTS}/{{application}}")
    async def one_experiment(application: str) -> Response:
        """The test of one application."""
        found = office.experiments.figures.get(application)
        why = f"{application!r:.100} has no test of variants, or it was not looked at yet"
        return JSONResponse(found.document()) if found else refusal(404, [Problem("application", why)])

    @app.get(JOBS)
    async def list_jobs(
        application: str | None = None,
        status: Literal["waiting", "running", "trained", "failed", "cancelled", "refused"] | None = None,
    ) -> Response:
        """Open requests first, then the last answers."""
        found = [
            each
            for each in office.jobs()
            if application in (None, each["application"]) and status in (None, each["status"])
        ]
        return JSONResponse({"jobs": found})

    @app.get(f"{JOBS}/{{request_id}}")
    async def one_job(request_id: str) -> Response:
        """How a request stands; a moment passes between its 202 and this."""
        found = office.job(request_id)
        return JSONResponse(found) if found else refusal(404, [Problem("request_id", WORDS["unknown"])])

    @app.delete(f"{JOBS}/{{request_id}}")
    async def cancel(request_id: str) -> Response:
        """End a job and all requests that joined it. 200 once that is in the log."""
        asked = asyncio.wrap_future(office.trainer.cancel(request_id))
        try:
            outcome = await asyncio.wait_for(asked, CANCEL_S)
        except TimeoutError:
            return refusal(503, [Problem("", "the trainer did not come to it")], {"Retry-After": "1"})
        if outcome != "cancelled":
            return refusal(STATUS[outcome], [Problem("request_id", WORDS[outcome])])
        return JSONResponse({"request_id": request_id, "status": outcome})

    @app.delete(SUBJECTS)
    async def erase_subject(subject_id: str, application: str | None = None) -> Response:
        """Erase the archived rewards of a subject's decisions, and list candidates trained on them."""
        if application is not None and application not in office.applications:
            return refusal(404, [Problem("application", f"there is no {application!r:.100}")])
        done = await asyncio.to_thread(erase, office.archive, subject_id, application, office.clock())
        candidates = await asyncio.to_thread(read_candidates, office.broker)
        told = [
            {name: getattr(each, name) for name in ("candidate_id", "application", "algorithm", "artefact")}
            for each in done.affected(candidates)
        ]
        rewards = len(done.tombstone.rewards)
        return JSONResponse({"rewards": rewards, "files": done.files, "candidates": told})

    known = (JOBS, EXPERIMENTS)
    limited = BodyLimit(app, office.settings.body_limit)
    return KeyCheck(RequestMetrics(limited, office.metrics, known), office.settings.api_keys)


def _trigger(application: str, body: RetrainBody, reason: Reason, by: str, office: Office) -> Trigger:
    return Trigger(
        request_id=body.request_id or office.new_id(),
        application=application,
        reason=reason,
        requested_by=by,
        requested_at=office.clock(),
        algorithm=body.algorithm,
        preset=body.preset,
        parameters=body.parameters,
        detail=body.detail,
        data=tuple(Span(each.partition, each.first_offset, each.next_offset) for each in body.data),
        days=body.days,
        seed=body.seed,
    )
