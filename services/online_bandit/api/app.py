"""The HTTP application: the deciding routes, what is served, and the probes."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan

from services.online_bandit.api.endpoints import Direct, Endpoint
from services.online_bandit.api.openapi import add_documents
from services.online_bandit.api.served import ServedPolicy
from shared.http.errors import install
from shared.http.keys import KeyCheck
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.telemetry.server import routes


def create_app(
    endpoints: Sequence[Endpoint],
    served: Mapping[str, ServedPolicy],
    health: Health,
    metrics: Metrics,
    keys: Sequence[str],
    lifespan: Lifespan[FastAPI],
) -> ASGIApp:
    """The decision API; `lifespan` opens and closes what the endpoints use."""
    app = FastAPI(title="Streamwheel decisions", lifespan=lifespan)
    install(app)
    app.router.routes += [Route(each.path, each, methods=["POST"]) for each in endpoints]
    app.router.routes.extend(routes(health, metrics.registry))

    @app.get("/v1/policies")
    async def policies() -> dict[str, Any]:
        """Which policy every application is served from."""
        return {"policies": [describe(policy) for _, policy in sorted(served.items())]}

    @app.get("/v1/policies/{application}")
    async def policy(application: str) -> dict[str, Any]:
        """Which policy one application is served from."""
        if application not in served:
            raise HTTPException(404, f"unknown application, known are {', '.join(sorted(served))}")
        return describe(served[application])

    add_documents(app)
    return KeyCheck(Direct(app, endpoints), keys)


def describe(policy: ServedPolicy) -> dict[str, Any]:
    """A served policy as a document; times in ms since 1970."""
    return {
        "application": policy.application,
        "name": policy.name,
        "version": policy.version,
        "offsets": list(policy.offsets),
        "rewards_learnt": policy.model.learnt,
        "kind": policy.model.configuration.kind,
        "learnt_at": policy.learnt_at,
        "served_since": policy.served_since,
        "mean_rewards": policy.mean_rewards,
    }
