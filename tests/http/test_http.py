"""Limits, keys, binding and the shape of errors, on a small application."""

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel, ValidationError

from shared.http.errors import install, path
from shared.http.keys import BindingRefused, KeyCheck, check_binding
from shared.http.limits import BodyLimit
from shared.http.server import listen, run
from shared.http.settings import ServiceSettings


class Item(BaseModel):
    count: int


def small() -> FastAPI:
    app = FastAPI()
    install(app)

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.post("/item")
    async def item(item: Item) -> int:
        return item.count

    return app


def client(app: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")  # type: ignore[arg-type]


async def test_bodies_up_to_the_limit_pass() -> None:
    async with client(BodyLimit(small(), 10)) as http:
        assert (await http.post("/length", content=b"x" * 10)).json() == 10


async def test_a_declared_length_above_the_limit_is_refused_unread() -> None:
    async def unreachable(scope: object, receive: object, send: object) -> None:
        raise AssertionError("the application was asked")

    async with client(BodyLimit(unreachable, 10)) as http:
        refused = await http.post("/length", content=b"x" * 11)
    assert refused.status_code == 413
    assert refused.json() == {"errors": [{"field": "", "message": "the body is larger than 10 bytes"}]}


async def test_an_undeclared_length_above_the_limit_is_refused_and_not_read_on() -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"xxxx"
            await asyncio.sleep(0)

    async with client(BodyLimit(small(), 10)) as http:
        for route in ("/length", "/item"):
            sent = 0
            refused = await http.post(route, content=chunks())
            assert refused.status_code == 413
            assert refused.json()["errors"][0]["message"] == "the body is larger than 10 bytes"
            assert sent < 10


async def test_frameworks_own_errors_have_the_common_shape() -> None:
    async with client(small()) as http:
        missing = await http.get("/nothing")
        wrong = await http.post("/item", json={"count": "many"})
    assert (missing.status_code, missing.json()) == (404, {"errors": [{"field": "", "message": "Not Found"}]})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "count"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer first"}, 200),
        ({"authorization": "bearer second"}, 200),
        ({"X-API-Key": "second"}, 200),
        ({"X-API-Key": ""}, 401),
        ({"X-API-Key": "firs"}, 401),
        ({"Authorization": "Basic first"}, 401),
        ({"Authorization": "Bearer ü".encode("latin-1").decode("latin-1")}, 401),
    ],
)
async def test_keys(headers: dict[str, str], status: int) -> None:
    async with client(KeyCheck(small(), ["first", "second"])) as http:
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        assert (await http.post("/length", headers=encoded)).status_code == status


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    check_binding(host, [])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_every_other_host_does(host: str) -> None:
    check_binding(host, ["key"])
    with pytest.raises(BindingRefused):
        check_binding(host, [])


def test_a_process_that_may_not_or_cannot_listen_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(small(), "0.0.0.0", 0) == 2
    assert "STREAMWHEEL_API_KEYS" in capsys.readouterr().err
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert run(small(), "127.0.0.1", port) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_listening_sockets_are_closed() -> None:
    with listen("127.0.0.1", 0) as found:
        port = found.getsockname()[1]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMWHEEL_API_KEYS", " a, b,,")
    monkeypatch.setenv("STREAMWHEEL_LOG_LEVEL", "debug")
    monkeypatch.setenv("STREAMWHEEL_APPLICATIONS", "")
    settings = ServiceSettings()
    assert (settings.api_keys, settings.log_level, settings.applications) == (("a", "b"), "DEBUG", None)
    monkeypatch.setenv("STREAMWHEEL_PORT", "70000")
    with pytest.raises(ValidationError):
        ServiceSettings()


def test_paths_read_like_code() -> None:
    assert path(("actions", 2, "features", "price")) == "actions[2].features.price"
    assert path(()) == ""
