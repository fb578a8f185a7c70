"""API keys, and the rule that nothing is served beyond this machine without them."""

import hmac
import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http.errors import Problem, refusal

#: Probes carry no key.
OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class BindingRefused(ValueError):
    """The address may be reached from other machines, and no API keys are set."""


def check_binding(host: str, keys: Sequence[str]) -> None:
    """Raise `BindingRefused` unless `host` is a loopback address or there are API keys."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and not keys:
        raise BindingRefused(
            f"{host or 'an empty host'} can be reached from other machines: "
            "set STREAMWHEEL_API_KEYS, or bind to 127.0.0.1"
        )


def allows(keys: Sequence[str], given: str | None) -> bool:
    """Is `given` one of `keys`? Takes as long for a near miss as for a wild guess."""
    found = False
    for key in keys:
        found |= hmac.compare_digest(key.encode(), (given or "").encode())
    return found


class KeyCheck:
    """ASGI middleware: 401 unless `Authorization: Bearer KEY` or `X-API-Key: KEY` carries one of `keys`.

    Without keys everything passes: the service then listens on this machine only (`check_binding`).
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app, self._keys = app, tuple(keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._keys or scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        kind, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if kind.lower() == "bearer" else headers.get("x-api-key")
        if allows(self._keys, given):
            return await self._app(scope, receive, send)
        problem = Problem(
            "authorization", "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"
        )
        return await refusal(401, [problem], {"WWW-Authenticate": "Bearer"})(scope, receive, send)
