"""The processes of a loop on one machine, as data: what runs, in which order, with which settings."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.broker.node_files import HOST
from shared.broker.ports import PortTaken, check_free
from shared.cli.addresses import Addresses
from shared.cli.children import Spec
from shared.cli.state import StateFolder

BROKER = "broker"
ASSIGNMENT_KEY = "STREAMWHEEL_ASSIGNMENT_KEY"
"""Assigns subjects to the arms of rollouts. A loop that is not given one draws its own, and keeps it."""
SERVICES: Mapping[str, str] = {
    "learner": "services.online_bandit.learner",
    "reward-calculator": "services.reward_calculator",
    "trainer": "services.trainer",
    "evaluator": "services.evaluator",
    "deployer": "services.deployer",
    "decisions": "services.online_bandit.api",
    "collector": "services.collector",
}
"""Process → module, in the order of starting; stopping goes the other way, so inputs end first."""


def plan(addresses: Addresses, folder: StateFolder, applications: Path | None = None) -> list[Spec]:
    """What to run, in order. The embedded Kafka comes first unless a cluster is named."""
    services = [_service(name, addresses, folder, applications) for name in SERVICES]
    return services if addresses.external_broker else [_broker(addresses, folder), *services]


def check_ports(addresses: Addresses) -> None:
    """Raise PortTaken, naming the port, who holds it and what to do, unless every port is free."""
    embedded = () if addresses.external_broker else (BROKER, "controller")
    for name in (*SERVICES, *embedded):
        try:
            check_free(HOST, addresses.port(name))
        except PortTaken as error:
            raise PortTaken(f"{name} cannot listen: {error}") from None


def _broker(addresses: Addresses, folder: StateFolder) -> Spec:
    ports = (str(addresses.port(BROKER)), str(addresses.port("controller")))
    return Spec(
        BROKER,
        (
            *(sys.executable, "-m", "shared.broker.embedded", "--state", str(folder.data(BROKER))),
            *("--port", ports[0], "--controller-port", ports[1]),
        ),
    )


def _service(name: str, addresses: Addresses, folder: StateFolder, applications: Path | None) -> Spec:
    environment = {
        "POLARS_MAX_THREADS": "1",  # batches are small: handing them to threads costs more than it gains
        "STREAMWHEEL_BROKER": addresses.broker,
        "STREAMWHEEL_BROKER_SECURITY": addresses.broker_settings.broker_security,
        "STREAMWHEEL_HOST": HOST,
        "STREAMWHEEL_PORT": str(addresses.port(name)),
        "STREAMWHEEL_STATE": str(folder.data(name)),
        "STREAMWHEEL_APPLICATIONS": str(applications.absolute()) if applications else "",
        "STREAMWHEEL_INSTANCE": f"{socket.gethostname()}-{addresses.port(name)}",
    }
    if name == "decisions":
        environment[ASSIGNMENT_KEY] = os.environ.get(ASSIGNMENT_KEY) or folder.secret("assignment")
    return Spec(name, (sys.executable, "-m", SERVICES[name]), environment, addresses.url(name))
