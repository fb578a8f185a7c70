"""The HTTP side: read, check, publish, and only then answer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Lifespan

from services.collector import handlers
from services.collector.bodies import DecisionsBody, InteractionsBody
from services.collector.handlers import Event, Refused, Rules
from services.collector.reading import parse
from shared.broker.producers import BufferFull, Unavailable
from shared.http.errors import Problem, install, refusal
from shared.http.keys import KeyCheck
from shared.http.limits import BodyLimit
from shared.telemetry import tracing
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.telemetry.requests import RequestMetrics
from shared.telemetry.server import routes

Headers = Sequence[tuple[str, bytes]]


class Producer(Protocol):
    """What the collector needs of Kafka; `shared.broker.producers.BatchProducer` has it."""

    async def send_many(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Headers = ()
    ) -> Sequence[object]:
        """Return once all in-sync replicas have every (key, value).

        Raises BufferFull where nothing is written, Unavailable where it is not known or something is missing.
        """


@dataclass(frozen=True)
class Collector:
    """Everything a request needs; `clock` in milliseconds since 1970, `new_id` for events that bring none."""

    rules: Rules
    producer: Producer
    metrics: Metrics
    topic: Callable[[str], str]
    clock: Callable[[], int]
    new_id: Callable[[], str]
    random: Random

    async def answer(self, request: Request, name: str, read: Callable[[Any], list[Event]]) -> Response:
        """202 once all events of the body are in the topic `name`, else the reasons and nothing written."""
        try:
            events = read(parse(await request.body()))
        except Refused as refused:
            self.metrics.events_refused.labels(name).inc(len(refused.problems))
            return refusal(refused.status, refused.problems)
        except ClientDisconnect:
            return refusal(400, [Problem("", "the connection closed before the body was complete")])
        self.metrics.records_in.labels(name).inc(len(events))
        return await self._publish(request, name, events)

    async def _publish(self, request: Request, name: str, events: list[Event]) -> Response:
        span = tracing.parse(request.headers.get("traceparent"), request.headers.get("tracestate"))
        headers = span.child(self.random).headers() if span else ()
        records = [(event.key, event.value) for event in events]
        try:
            await self.producer.send_many(self.topic(name), records, headers)
        except (BufferFull, Unavailable) as error:
            return self._unavailable(name, events, error)
        self.metrics.records_out.labels(name).inc(len(events))
        return JSONResponse({"accepted": len(events)}, 202)

    def _unavailable(self, name: str, events: list[Event], error: BufferFull | Unavailable) -> Response:
        """503 that says whether events may be in the log all the same, with the ids to send them again."""
        self.metrics.events_unavailable.labels(name, type(error).__name__).inc(len(events))
        perhaps = isinstance(error, Unavailable) and (error.maybe_written or len(events) > 1)
        fate = "not all acknowledged, some may be written" if perhaps else "nothing is written"
        wait = math.ceil(self.rules.settings.retry_after.total_seconds())
        return refusal(
            503,
            [Problem("", f"{fate}; send all of it again, with these ids: {error}")],
            {"Retry-After": str(wait)},
            accepted=0,
            ids=[event.id for event in events],
        )


INTERACTIONS, DECISIONS = "/v1/interactions", "/v1/decisions/log"


def _document(body: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI entry of a body that is read as bytes, to be parsed more strictly than FastAPI does."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    400: {"description": "the body is no JSON"},
    401: {"description": "no valid API key"},
    413: {"description": "the body is too large"},
    422: {"description": "events that are not valid, each named by index and field; nothing is written"},
    503: {"description": "Kafka did not acknowledge all events; send them again with the ids of this reply"},
}


def create_app(collector: Collector, health: Health, lifespan: Lifespan[FastAPI]) -> ASGIApp:
    """The collector's API; `lifespan` opens and closes what `collector` publishes with."""
    app = FastAPI(title="Streamwheel collector", lifespan=lifespan)
    install(app)
    app.router.routes.extend(routes(health, collector.metrics.registry))

    @app.post(INTERACTIONS, status_code=202, responses=_ANSWERS, openapi_extra=_document(InteractionsBody))
    async def post_interactions(request: Request) -> Response:
        """Tell what subjects did after decisions."""
        return await collector.answer(
            request,
            "interactions",
            lambda document: handlers.interactions(
                document, collector.rules, collector.clock(), collector.new_id
            ),
        )

    @app.post(DECISIONS, status_code=202, responses=_ANSWERS, openapi_extra=_document(DecisionsBody))
    async def log_decisions(request: Request) -> Response:
        """Log decisions that were made elsewhere."""
        return await collector.answer(
            request,
            "decisions",
            lambda document: handlers.decisions(document, collector.rules, collector.clock()),
        )

    settings = collector.rules.settings
    limited = BodyLimit(app, settings.body_limit)
    counted = RequestMetrics(limited, collector.metrics, (INTERACTIONS, DECISIONS))
    return KeyCheck(counted, settings.api_keys)
