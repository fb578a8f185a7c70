"""The HTTP application: the deciding routes, what is served, the kill switch and the probes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan

from services.online_bandit.api.deployments import DeploymentStore
from services.online_bandit.api.describing import describe
from services.online_bandit.api.endpoints import RETRY_AFTER, Direct, Endpoint
from services.online_bandit.api.openapi import add_documents
from services.online_bandit.api.served import ServedPolicy
from services.online_bandit.api.settings import ApiSettings
from services.online_bandit.api.spool import SpoolFull
from services.online_bandit.api.switch import KillSwitch
from shared.broker.producers import BufferFull
from shared.http.errors import Problem, install, refusal
from shared.http.keys import KeyCheck
from shared.http.limits import BodyLimit
from shared.telemetry.health import Health
from shared.telemetry.server import routes

LONGEST_REASON, LONGEST_NAME = 1_000, 100
"""Characters."""
Reason = Annotated[str, Field(max_length=LONGEST_REASON)]
Name = Annotated[str, Field(max_length=LONGEST_NAME)]


class KillBody(BaseModel):
    """Why the kill switch is pressed, and who presses it."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Reason, Field(min_length=1)]
    by: Annotated[Name, Field(min_length=1)]


def create_app(
    endpoints: Sequence[Endpoint],
    served: Mapping[str, ServedPolicy],
    deployments: DeploymentStore,
    switch: KillSwitch,
    health: Health,
    settings: ApiSettings,
    lifespan: Lifespan[FastAPI],
) -> ASGIApp:
    """The decision API; `lifespan` opens and closes what the endpoints use."""
    app = FastAPI(title="Streamwheel decisions", lifespan=lifespan)
    install(app)
    app.router.routes += [Route(each.path, each, methods=["POST"]) for each in endpoints]
    app.router.routes.extend(routes(health, switch.metrics.registry))
    _add_policies(app, served, deployments)
    _add_switch(app, served, switch)
    add_documents(app)
    limited = BodyLimit(app, settings.body_limit)
    return KeyCheck(Direct(limited, endpoints), settings.api_keys)


def _add_policies(app: FastAPI, served: Mapping[str, ServedPolicy], deployments: DeploymentStore) -> None:
    @app.get("/v1/policies")
    async def policies() -> dict[str, Any]:
        """Which policies every application is served from."""
        return {"policies": [describe(policy, deployments) for _, policy in sorted(served.items())]}

    @app.get("/v1/policies/{application}")
    async def policy(application: str) -> dict[str, Any]:
        """Which policies one application is served from."""
        return describe(_known(application, served), deployments)


def _add_switch(app: FastAPI, served: Mapping[str, ServedPolicy], switch: KillSwitch) -> None:
    @app.put("/v1/kill/{application}")
    async def kill(application: str, body: KillBody) -> Response:
        """Let the online policy decide everything, at once, in this process, until DELETE.

        200: it is on disk, and in the log or spooled for it. 503: it is on, and perhaps not kept; ask again.
        """
        _known(application, served)
        try:
            pressed = await switch.kill(application, body.reason, body.by)
        except (OSError, BufferFull, SpoolFull) as error:
            return _unkept(f"the switch is on, but not yet kept or told: {error}")
        return JSONResponse({"application": application, "killed": asdict(pressed)})

    @app.delete("/v1/kill/{application}")
    async def revive(
        application: str,
        reason: Annotated[str, Query(max_length=LONGEST_REASON)] = "",
        by: Annotated[str, Query(max_length=LONGEST_NAME)] = "",
    ) -> Response:
        """Obey deployments again. 503: it may still be on; ask again."""
        _known(application, served)
        try:
            was_on = await switch.revive(application, reason, by)
        except (OSError, BufferFull, SpoolFull) as error:
            return _unkept(f"the switch may still be on: {error}")
        return JSONResponse({"application": application, "killed": None, "was_killed": was_on})


def _known(application: str, served: Mapping[str, ServedPolicy]) -> ServedPolicy:
    if application not in served:
        raise HTTPException(404, f"unknown application, known are {', '.join(sorted(served))}")
    return served[application]


def _unkept(words: str) -> Response:
    return refusal(503, [Problem("", words)], RETRY_AFTER)
