"""Requests counted and timed, by route and status."""

from collections.abc import Collection
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.telemetry.metrics import Metrics, bounded


class RequestMetrics:
    """ASGI middleware: `requests` and `request_seconds` of the given routes; any other path is "other"."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Collection[str]) -> None:
        self._app, self._metrics, self._routes = app, metrics, frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, status = perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            return await self._app(scope, receive, noted)
        finally:
            route = bounded(scope["path"], self._routes)
            self._metrics.requests.labels(route, status).inc()
            self._metrics.request_seconds.labels(route).observe(perf_counter() - began)
