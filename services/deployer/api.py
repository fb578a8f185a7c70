"""The HTTP side: see how rollouts stand, and command them."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Response
from kafka.errors import KafkaError
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Lifespan

from services.deployer.book import Book
from services.deployer.commands import Command, Verb
from services.deployer.judging import rollout_settings
from services.deployer.records import read_events
from services.deployer.service import Deployer, NotLeading, StillVerifying
from services.deployer.settings import DeployerSettings
from shared.applications.contract import Application
from shared.broker.ledger import LedgerBroken
from shared.broker.settings import BrokerSettings
from shared.core.rollout.guards import Assessment
from shared.http.errors import Problem, install, refusal
from shared.http.keys import KeyCheck
from shared.http.limits import BodyLimit
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.telemetry.requests import RequestMetrics
from shared.telemetry.server import routes

ROLLOUTS, ONE = "/v1/rollouts", "/v1/rollouts/{application}"
BLACKLIST = "/v1/blacklist/{application}/{policy}"
RESET = "/v1/arms/{application}/{action}/reset"
MOST_EVENTS = 10_000
Asked = Literal["promote", "abort", "pause", "resume", "rollback", "freeze", "thaw"]
Text = Annotated[str, Field(max_length=1_000)]
Name = Annotated[str, Field(max_length=200)]


class CommandBody(BaseModel):
    """Who asks, why, and for which policy."""

    model_config = ConfigDict(extra="forbid")

    by: Name = ""
    reason: Text = ""
    policy: Name = ""


class ResetBody(BaseModel):
    """Who asks, and why."""

    model_config = ConfigDict(extra="forbid")

    by: Name = ""
    reason: Text = ""


class BlacklistBody(BaseModel):
    """Why a policy must not decide, and until when; for ever without."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=1_000)]
    until: AwareDatetime | None = None
    by: Name = ""


@dataclass(frozen=True)
class Desk:
    """Everything that a request needs."""

    settings: DeployerSettings
    broker: BrokerSettings
    applications: Mapping[str, Application]
    deployer: Deployer
    metrics: Metrics
    new_id: Callable[[], str]

    async def command(self, command: Command) -> Response:
        """Do it; the reply comes once it is in the log."""
        if command.application not in self.applications:
            return _unknown(command.application)
        asked = asyncio.wrap_future(self.deployer.ask(command))
        try:
            change = await asyncio.wait_for(asked, self.settings.kafka_limit.total_seconds())
        except (NotLeading, StillVerifying) as error:
            return _later(str(error))
        except (LedgerBroken, KafkaError):
            return _later("Kafka failed: look whether it was done")
        except (TimeoutError, CancelledError):
            return _later("the deployer did not come to it in time: look whether it was done")
        if change.refused is not None:
            field = "action" if command.verb == "reset" else "policy"
            status = 404 if change.unknown else 409
            return refusal(status, [Problem(field if change.unknown else "", change.refused)])
        return JSONResponse(self.document(change.book, None) | {"events": [asdict(e) for e in change.events]})

    def document(self, book: Book, seen: Assessment | None) -> dict[str, Any]:
        """How an application's rollouts stand."""
        state, stages = book.state, rollout_settings(self.applications[book.application]).stages
        rollout, watch = state.rollout, book.watch
        running = rollout and {
            "policy": rollout.policy,
            "id": watch.salt if watch else "",
            "stage": stages[rollout.stage].name,
            "share": stages[rollout.stage].share,
            "since": round(rollout.since * 1000),
            "started": round(rollout.started * 1000),
            "paused": rollout.paused,
            "guards": None if seen is None else asdict(seen),
        }
        return {
            "application": book.application,
            "sequence": state.sequence,
            "stable": state.stable,
            "base": state.base,
            "rollout": running,
            "queue": list(state.queue),
            "verifying": [asdict(each) for each in self.deployer.verifying(book)],
            "waiting": [name for name, entry in book.entries.items() if entry.waits],
            "history": list(state.history),
            "blacklist": [asdict(each) for each in state.blocked],
            "frozen": state.frozen,
        }


def create_app(desk: Desk, health: Health, lifespan: Lifespan[FastAPI]) -> ASGIApp:
    """The deployer's API; `lifespan` runs what it talks to."""
    app = FastAPI(title="Streamwheel deployer", lifespan=lifespan)
    install(app)
    app.router.routes.extend(routes(health, desk.metrics.registry))

    @app.get(ROLLOUTS)
    async def list_rollouts() -> Response:
        """Every application's."""
        office = desk.deployer.office
        if office is None:
            return _later("another deployer leads, or Kafka is away")
        found = [desk.document(book, office.seen.get(name)) for name, book in office.books.items()]
        return JSONResponse({"rollouts": found})

    @app.get(ONE)
    async def one_rollout(application: str) -> Response:
        """How one application's rollouts stand."""
        if application not in desk.applications:
            return _unknown(application)
        office = desk.deployer.office
        if office is None:
            return _later("another deployer leads, or Kafka is away")
        return JSONResponse(desk.document(office.books[application], office.seen.get(application)))

    @app.get(f"{ONE}/events")
    async def events(application: str, most: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 1_000) -> Response:
        """The audit, read from the topic."""
        if application not in desk.applications:
            return _unknown(application)
        try:
            found = await asyncio.to_thread(read_events, desk.broker, application, most)
        except KafkaError as error:
            return _later(f"Kafka: {type(error).__name__}")
        return JSONResponse({"events": [asdict(event) for event in found]})

    @app.post(f"{ONE}/{{verb}}")
    async def command(application: str, verb: Asked, body: CommandBody | None = None) -> Response:
        """200 once it is in the log; 409 if it means nothing now."""
        asked = body or CommandBody()
        policy, by, reason = asked.policy, asked.by, asked.reason
        return await desk.command(Command(verb, application, desk.new_id(), policy, by, reason))

    @app.post(RESET)
    async def reset(application: str, action: str, body: ResetBody | None = None) -> Response:
        """Let the online policy forget what an action's decisions until now taught it."""
        asked = body or ResetBody()
        told = Command("reset", application, desk.new_id(), by=asked.by, reason=asked.reason, action=action)
        return await desk.command(told)

    @app.put(BLACKLIST)
    async def block(application: str, policy: str, body: BlacklistBody) -> Response:
        """Blacklist a policy; whatever it decides is taken back at once."""
        until = None if body.until is None else body.until.timestamp()
        return await desk.command(_blacklist("block", application, policy, body.by, body.reason, until))

    @app.delete(BLACKLIST)
    async def unblock(application: str, policy: str, by: Name = "", reason: Text = "") -> Response:
        """Take a policy off the blacklist."""
        return await desk.command(_blacklist("unblock", application, policy, by, reason, None))

    def _blacklist(
        verb: Verb, application: str, policy: str, by: str, reason: str, until: float | None
    ) -> Command:
        return Command(verb, application, desk.new_id(), policy, by, reason, until)

    limited = BodyLimit(app, desk.settings.body_limit)
    return KeyCheck(RequestMetrics(limited, desk.metrics, (ROLLOUTS,)), desk.settings.api_keys)


def _unknown(application: str) -> Response:
    return refusal(404, [Problem("application", f"there is no {application!r:.100}")])


def _later(words: str) -> Response:
    return refusal(503, [Problem("", words)], {"Retry-After": "1"})
