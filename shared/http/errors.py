"""One shape for every error over HTTP: {"errors": [{"field", "message", "index"?}]}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from fastapi import FastAPI


@dataclass(frozen=True)
class Problem:
    """What is wrong with one field; `index` names the item of a batch."""

    field: str
    message: str
    index: int | None = None

    def document(self) -> dict[str, Any]:
        """As it stands in a reply."""
        place = {} if self.index is None else {"index": self.index}
        return {**place, "field": self.field, "message": self.message}


def refusal(
    status: int, problems: Sequence[Problem], headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A reply that names every problem; `more` adds members beside `errors`."""
    return JSONResponse({**more, "errors": [problem.document() for problem in problems]}, status, headers)


def path(location: Sequence[str | int]) -> str:
    """A pydantic location as a path: ("actions", 2, "price") → "actions[2].price"."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, [Problem("", str(error.detail))], error.headers)


def install(app: FastAPI) -> None:
    """Give FastAPI's own errors (404, 405, 413, 422 …) the common shape."""
    from fastapi.exceptions import RequestValidationError  # workers without an API start without FastAPI

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return refusal(422, [Problem(path(found["loc"][1:]), found["msg"]) for found in error.errors()])

    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, invalid)
