"""The OpenAPI entries of the routes that FastAPI does not see into."""

from typing import Any

from fastapi import FastAPI

from services.online_bandit.api.endpoints import Activation, Many, One
from services.online_bandit.api.requests import LONGEST_ID

_ID = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID}
_PROBABILITY = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


_NAMED = _object(["action", "features"], action={"type": "string"}, features={"type": "object"})
_REQUEST = _object(
    ["application", "subject_id", "context"],
    application=_ID,
    subject_id=_ID,
    context={"type": "object", "description": "the application's features by name"},
    actions={
        "type": "array",
        "description": "what to choose from, if not every action",
        "items": {"anyOf": [{"type": "string"}, _NAMED]},
    },
    deferred={"type": "boolean", "default": False, "description": "counts only once it is activated"},
    decision_id={**_ID, "description": "sent again with the same id, the reply is the same"},
) | {"additionalProperties": False}
_REPLY = _object(
    ["decision_id", "action", "propensity", "probabilities", "policy", "rollout"],
    decision_id=_ID,
    action={"type": "string"},
    propensity=_PROBABILITY,
    probabilities={"type": "object", "additionalProperties": _PROBABILITY},
    policy=_object(["name", "version"], name={"type": "string"}, version={"type": "integer"}),
    rollout={
        "anyOf": [
            _object(["arm", "share"], arm={"type": "string"}, share={"type": "number"}),
            {"type": "null"},
        ]
    },
    parameters={
        "type": "object",
        "description": "what the action stands for, or the numbers that it consists of, where the "
        "application has them",
    },
)
_PROBLEM = _object(
    ["field", "message"], index={"type": "integer"}, field={"type": "string"}, message={"type": "string"}
)
_PROBLEMS = _object(["errors"], errors={"type": "array", "items": _PROBLEM})
_ACTIVATED = _object(
    ["decision_id", "application", "activated"],
    decision_id=_ID,
    application=_ID,
    activated={"type": "boolean"},
)


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(summary: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    problems = {
        "400": "the body is no JSON",
        "401": "no valid API key",
        "409": "the decision_id was used for another application",
        "413": "the body is too large",
        "422": "fields that are not valid; nothing is written",
        "503": "neither Kafka nor the disk takes the decision; send it again",
    }
    answers = {
        status: {"description": text, "content": _json(_PROBLEMS)} for status, text in problems.items()
    }
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": _json(body)},
        "responses": {"200": {"description": "durable", "content": _json(answer)}, **answers},
    }


def _list_of(item: dict[str, Any]) -> dict[str, Any]:
    return _object(["decisions"], decisions={"type": "array", "minItems": 1, "items": item})


_IN_PATH = {"name": "decision_id", "in": "path", "required": True, "schema": _ID}
PATHS = {
    One.path: {"post": _operation("Decide", _REQUEST, _REPLY)},
    Many.path: {"post": _operation("Decide many at once", _list_of(_REQUEST), _list_of(_REPLY))},
    Activation.path.replace(":path", ""): {
        "parameters": [_IN_PATH],
        "post": _operation(
            "Let a deferred decision count", _object(["application"], application=_ID), _ACTIVATED
        ),
    },
}


def add_documents(app: FastAPI) -> None:
    """Let the application's OpenAPI document hold these routes too."""
    original = app.openapi

    def document() -> dict[str, Any]:
        found = original()
        found["paths"] = PATHS | found["paths"]
        return found

    app.openapi = document  # type: ignore[method-assign]
