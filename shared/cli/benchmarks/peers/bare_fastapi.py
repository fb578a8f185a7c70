"""A FastAPI endpoint that takes the same body and does nothing: `python bare_fastapi.py PORT`."""

from __future__ import annotations

import sys

from fastapi import FastAPI
from pydantic import BaseModel

from shared.broker.node_files import HOST
from shared.http.server import run


class Request(BaseModel):
    """What a request for a decision has."""

    application: str
    subject_id: str
    context: dict[str, float]


def create() -> FastAPI:
    """The application."""
    app = FastAPI()

    @app.post("/v1/decisions")
    async def decide(body: Request) -> dict[str, str]:
        """Always the same."""
        return {"subject_id": body.subject_id, "action": "a00"}

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        """At once."""
        return {"status": "ready"}

    return app


if __name__ == "__main__":
    sys.exit(run(create(), HOST, int(sys.argv[1])))
