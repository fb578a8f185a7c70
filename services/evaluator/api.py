"""The HTTP side: what evaluations there are, and their pages."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import FastAPI, Response
from starlette.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Lifespan

from services.evaluator.pages import Pages
from services.evaluator.service import Evaluator
from services.evaluator.settings import EvaluatorSettings
from shared.http.errors import Problem, install, refusal
from shared.http.keys import KeyCheck
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.telemetry.requests import RequestMetrics
from shared.telemetry.server import routes
from shared.wire.rollouts import Evaluation

ALL = "/v1/evaluations"


@dataclass(frozen=True)
class Office:
    """Everything that a request needs."""

    settings: EvaluatorSettings
    applications: frozenset[str]
    evaluator: Evaluator
    pages: Pages
    metrics: Metrics

    def evaluations(self, application: str | None = None, candidate: str | None = None) -> list[Evaluation]:
        """The last evaluation of each kind of each candidate, the newest first."""
        found = [
            each
            for name, candidates in list(self.evaluator.standing.latest.items())
            if application in (None, name)
            for candidate_id, kinds in list(candidates.items())
            if candidate in (None, candidate_id)
            for each in list(kinds.values())
        ]
        return sorted(found, key=lambda each: -each.at)


def document(evaluation: Evaluation) -> dict[str, Any]:
    """A record as JSON; what is not defined is null."""
    found = asdict(evaluation) | {"data": [span.record() for span in evaluation.data]}
    return dict(_finite(found))


def _finite(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        yield name, _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(_finite(value))
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def create_app(office: Office, health: Health, lifespan: Lifespan[FastAPI]) -> ASGIApp:
    """The evaluator's API; `lifespan` runs what it talks to."""
    app = FastAPI(title="Streamwheel evaluator", lifespan=lifespan)
    install(app)
    app.router.routes.extend(routes(health, office.metrics.registry))

    def unknown(application: str) -> Response | None:
        if application in office.applications:
            return None
        return refusal(404, [Problem("application", f"there is no {application!r:.100}")])

    def told(application: str | None = None, candidate: str | None = None) -> Response:
        found = office.evaluations(application, candidate)
        if candidate is not None and not found:
            return refusal(404, [Problem("candidate", f"{candidate!r:.100} has no evaluation")])
        return JSONResponse({"evaluations": [document(each) for each in found]})

    @app.get(ALL)
    async def every_application() -> Response:
        """The last evaluations of every candidate, the newest first."""
        return told()

    @app.get(f"{ALL}/{{application}}")
    async def one_application(application: str) -> Response:
        """The last evaluations of an application's candidates, the newest first."""
        return unknown(application) or told(application)

    @app.get(f"{ALL}/{{application}}/{{candidate}}")
    async def one_candidate(application: str, candidate: str) -> Response:
        """The last evaluation of each kind of a candidate."""
        return unknown(application) or told(application, candidate)

    @app.get(f"{ALL}/{{application}}/{{candidate}}/report")
    async def report(application: str, candidate: str) -> Response:
        """The page of a candidate's evaluation on the log."""
        if absent := unknown(application):
            return absent
        path = office.pages.path(application, candidate)
        try:
            return HTMLResponse(await asyncio.to_thread(path.read_bytes))
        except FileNotFoundError:
            return refusal(404, [Problem("candidate", f"{candidate!r:.100} has no report here")])

    return KeyCheck(RequestMetrics(app, office.metrics, (ALL,)), office.settings.api_keys)
