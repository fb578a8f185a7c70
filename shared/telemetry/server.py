"""/healthz, /readyz and /metrics: in a worker's own event loop, or as routes of an HTTP API."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.http.keys import KeyCheck
from shared.http.server import EmbeddedServer, listen
from shared.telemetry.health import Health


def _verdict(word: str, problems: list[str]) -> JSONResponse:
    return JSONResponse(
        {"status": "failing" if problems else word, "problems": problems}, 503 if problems else 200
    )


def routes(health: Health, registry: CollectorRegistry) -> list[Route]:
    """The three routes; 503 and the reasons where the process is not alive or not ready."""

    async def alive(_: Request) -> Response:
        return _verdict("alive", health.illnesses())

    async def ready(_: Request) -> Response:
        return _verdict("ready", health.hindrances())

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", metrics)]


@asynccontextmanager
async def serve(
    host: str, port: int, health: Health, registry: CollectorRegistry, keys: Sequence[str] = ()
) -> AsyncIterator[int]:
    """Serve the three routes from the running event loop while the context is open; yields the port.

    Raises `BindingRefused` for a host beyond this machine without API keys, OSError for a port in use.
    """
    app = KeyCheck(Starlette(routes=routes(health, registry)), keys)
    with listen(host, port, keys) as socket:
        server = EmbeddedServer(app)
        task = asyncio.create_task(server.serve([socket]), name="telemetry")
        try:
            yield socket.getsockname()[1]
        finally:
            server.should_exit = True
            await task
