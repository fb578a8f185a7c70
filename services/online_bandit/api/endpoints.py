"""The routes that decide, as bare ASGI endpoints: at thousands of requests a second each layer counts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import ClassVar

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.online_bandit.api.decider import Decider
from services.online_bandit.api.encoding import dumps
from services.online_bandit.api.remembered import Forgotten
from services.online_bandit.api.requests import Refused, parse, read_activation, read_many, read_one
from services.online_bandit.api.spool import SpoolFull
from shared.applications.contract import Application
from shared.broker.limits import Headers
from shared.broker.producers import BufferFull
from shared.http.errors import Problem, refusal
from shared.telemetry import tracing

#: What a 503 tells the sender to wait, in seconds.
RETRY_AFTER = {"Retry-After": "1"}


@dataclass(frozen=True)
class Limits:
    """Bytes of a body, and decisions of a batch."""

    body: int
    batch: int


class Endpoint(ABC):
    """Read the body, answer, and put every failure into the common shape."""

    path: ClassVar[str]

    def __init__(
        self, decider: Decider, applications: Mapping[str, Application], limits: Limits, random: Random
    ) -> None:
        self.decider, self.applications, self.limits, self._random = decider, applications, limits, random
        self._seconds = decider.metrics.request_seconds.labels(self.path)
        self._answered = decider.metrics.requests.labels(self.path, 200)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        try:
            raw = await self.answer(scope, await self._body(receive))
        except Refused as refused:
            self.decider.metrics.events_refused.labels("decisions").inc(len(refused.problems))
            await self._refuse(refusal(refused.status, refused.problems), scope, receive, send)
        except (BufferFull, SpoolFull, Forgotten, OSError) as error:
            self.decider.metrics.events_unavailable.labels("decisions", type(error).__name__).inc()
            problem = Problem("", f"not taken, send it again: {error}")
            await self._refuse(refusal(503, [problem], RETRY_AFTER), scope, receive, send)
        else:
            await send(_start(raw))
            await send({"type": "http.response.body", "body": raw})
            self._answered.inc()
        self._seconds.observe(perf_counter() - began)

    async def _refuse(self, answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
        self.decider.metrics.requests.labels(self.path, answer.status_code).inc()
        await answer(scope, receive, send)

    @abstractmethod
    async def answer(self, scope: Scope, body: bytes) -> bytes:
        """The JSON of a reply 200. Raises what `__call__` knows."""

    def headers(self, scope: Scope) -> Headers:
        """The caller's trace, as headers of the records that this request writes."""
        found = {name: value for name, value in scope["headers"] if name.startswith(b"trace")}
        if b"traceparent" not in found:
            return ()
        state = found.get(b"tracestate", b"").decode("latin-1")
        span = tracing.parse(found[b"traceparent"].decode("latin-1"), state)
        return tuple(span.child(self._random).headers()) if span else ()

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        if not message.get("more_body"):
            return self._checked(message, message.get("body", b""))
        body = bytearray()
        while True:
            body += self._checked(message, message.get("body", b""))
            if len(body) > self.limits.body:
                raise self._too_large()
            if not message.get("more_body"):
                return bytes(body)
            message = await receive()

    def _checked(self, message: Message, part: bytes) -> bytes:
        if message["type"] == "http.disconnect":
            raise Refused([Problem("", "the connection closed before the body was complete")], 400)
        if len(part) > self.limits.body:
            raise self._too_large()
        return part

    def _too_large(self) -> Refused:
        return Refused([Problem("", f"the body is larger than {self.limits.body} bytes")], 413)


class One(Endpoint):
    """A decision."""

    path = "/v1/decisions"

    async def answer(self, scope: Scope, body: bytes) -> bytes:
        """The decision."""
        return await self.decider.one(read_one(parse(body), self.applications), self.headers(scope))


class Many(Endpoint):
    """Decisions by the batch."""

    path = "/v1/decisions/batch"

    async def answer(self, scope: Scope, body: bytes) -> bytes:
        """The decisions in the order of the requests."""
        asked = read_many(parse(body), self.applications, self.limits.batch)
        return b'{"decisions":[' + b",".join(await self.decider.many(asked, self.headers(scope))) + b"]}"


class Activation(Endpoint):
    """A deferred decision counts from now on."""

    path = "/v1/decisions/{decision_id:path}/activation"

    async def answer(self, scope: Scope, body: bytes) -> bytes:
        """What was activated."""
        given = scope["path_params"]["decision_id"]
        application, decision_id = read_activation(parse(body), given, self.applications)
        await self.decider.activate(application, decision_id, self.headers(scope))
        return dumps({"decision_id": decision_id, "application": application, "activated": True})


class Direct:
    """ASGI middleware: POST requests to an endpoint's very path go to it, past routing and middleware."""

    def __init__(self, app: ASGIApp, endpoints: Sequence[Endpoint]) -> None:
        self._app, self._endpoints = app, {each.path: each for each in endpoints}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = scope["type"] == "http" and scope["method"] == "POST"
        endpoint = self._endpoints.get(scope["path"]) if direct else None
        await (endpoint or self._app)(scope, receive, send)


def _start(raw: bytes) -> Message:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(raw))]
    return {"type": "http.response.start", "status": 200, "headers": headers}
