"""How a loop is doing, asked from outside: pid files, /healthz, /readyz and /metrics."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from shared.cli.addresses import SERVICES, Addresses
from shared.cli.state import StateFolder

ASK_S = 2.0


@dataclass(frozen=True)
class ProcessStatus:
    """One process. `lag` counts the records that wait for it; None where it reads none or does not say."""

    process: str
    pid: int | None
    address: str
    alive: bool
    ready: bool
    lag: int | None = None
    restarts: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LoopStatus:
    """A whole loop."""

    state: str
    supervisor: int | None
    processes: list[ProcessStatus]

    @property
    def sound(self) -> bool:
        """Whether it runs and everything is ready."""
        return bool(self.processes) and all(each.ready for each in self.processes)

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "running": self.supervisor is not None, "ready": self.sound}


def look(folder: StateFolder) -> LoopStatus:
    """Ask every process of the loop in `folder`; takes ASK_S for each that does not answer."""
    supervisor, description = folder.supervisor(), folder.description()
    if description is None:
        return LoopStatus(str(folder.path), supervisor, [])
    addresses = Addresses(description["port_base"], description["external_broker"])
    pids = {name: process.pid for name, process in folder.recorded().items()}
    with httpx.Client(timeout=ASK_S, headers=api_key()) as client:
        processes = [
            _broker(addresses, pids, description["restarts"]),
            *(_service(name, addresses, pids, description["restarts"], client) for name in SERVICES),
        ]
    return LoopStatus(str(folder.path), supervisor, processes)


def api_key() -> dict[str, str]:
    """The header that carries the first of STREAMWHEEL_API_KEYS, if there are any."""
    keys = os.environ.get("STREAMWHEEL_API_KEYS", "")
    return {"X-API-Key": keys.split(",")[0].strip()} if keys.strip() else {}


def _broker(addresses: Addresses, pids: dict[str, int], restarts: dict[str, int]) -> ProcessStatus:
    pid = pids.get("broker")
    host, _, port = addresses.broker.split(",")[0].strip().rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ASK_S).close()
        problems = []
    except OSError as error:
        problems = [f"{addresses.broker}: {error}"]
    alive = not problems if addresses.external_broker else pid is not None
    return ProcessStatus(
        "broker",
        pid,
        addresses.broker,
        alive,
        ready=not problems,
        restarts=restarts.get("broker", 0),
        problems=problems,
    )


def _service(
    name: str, addresses: Addresses, pids: dict[str, int], restarts: dict[str, int], client: httpx.Client
) -> ProcessStatus:
    url, pid = addresses.url(name), pids.get(name)
    alive, illnesses = _asked(client, f"{url}/healthz")
    ready, hindrances = _asked(client, f"{url}/readyz")
    return ProcessStatus(
        name,
        pid,
        url,
        alive=pid is not None and alive,
        ready=pid is not None and ready,
        lag=_lag(client, url),
        restarts=restarts.get(name, 0),
        problems=list(dict.fromkeys([*illnesses, *hindrances])),
    )


def _asked(client: httpx.Client, url: str) -> tuple[bool, list[str]]:
    try:
        reply = client.get(url)
        return reply.status_code == httpx.codes.OK, list(reply.json()["problems"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return False, [str(error)]


def _lag(client: httpx.Client, url: str) -> int | None:
    try:
        found = list(_samples(client.get(f"{url}/metrics").text, "streamwheel_lag_records"))
    except (httpx.HTTPError, ValueError):
        return None
    return int(sum(found)) if found else None


def _samples(text: str, name: str) -> Iterator[float]:
    for family in text_string_to_metric_families(text):
        if family.name == name:
            yield from (sample.value for sample in family.samples)
