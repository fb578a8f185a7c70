"""Starts the processes of a loop in order, keeps them running, and stops them in the opposite order."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event

import httpx

from shared.broker.readiness import wait_until_ready
from shared.broker.topics import ensure_topics
from shared.cli.addresses import Addresses
from shared.cli.children import Child, Spec, tail
from shared.cli.plan import BROKER
from shared.cli.state import StateFolder
from shared.cli.watchdog import PATIENCE_S, Watchdog

BROKER_READY_S = 120.0
SERVICE_READY_S = 120.0
"""Services are ready within seconds on two free cores; the rest is for machines under load."""
EXTERNAL_BROKER_READY_S = 15.0
LOOK_EVERY_S = 0.1
ASK_S = 2.0
"""How long a service may take to say whether it is ready."""


class StartFailed(RuntimeError):
    """A process of the loop could not be started; the message has the end of its log."""


class Interrupted(Exception):
    """The loop was told to stop while it was starting."""


class Supervisor:
    """The processes of one loop. `report` gets a sentence whenever something happens to one of them; one that
    runs and is not alive for `patience_s` is started again."""

    def __init__(
        self,
        specs: Sequence[Spec],
        addresses: Addresses,
        folder: StateFolder,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.children = [Child(spec, folder, clock) for spec in specs]
        self._addresses, self._folder, self._report, self._clock = addresses, folder, report, clock
        self._watchdog = Watchdog(self.children, report, patience_s)
        self._stopped = Event()

    def run(self, started: Callable[[], None]) -> None:
        """Start everything, call `started`, and keep it running until SIGINT or SIGTERM; then stop it.

        Raises StartFailed, BrokerError or OSError if a process cannot be started.
        """
        with self._signals():
            try:
                self._start()
                started()
                with self._watchdog.watching():
                    while not self._stopped.wait(LOOK_EVERY_S):
                        self._tend()
            except Interrupted:
                pass
            finally:
                self._stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        previous = {number: signal.signal(number, lambda *_: self._stopped.set()) for number in wanted}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _start(self) -> None:
        self._start_broker([child for child in self.children if child.spec.name == BROKER])
        services = [child for child in self.children if child.spec.name != BROKER]
        for child in services:
            child.start()
        self._describe()
        deadline = self._clock() + SERVICE_READY_S
        with httpx.Client(timeout=ASK_S) as http:  # one: making it takes longer than asking
            for child in services:
                self._await(child, deadline, http)

    def _start_broker(self, embedded: list[Child]) -> None:
        for child in embedded:
            self._report("starting Kafka")
            child.start()
        settings = self._addresses.broker_settings
        limit = BROKER_READY_S if embedded else EXTERNAL_BROKER_READY_S
        wait_until_ready(settings, 1, limit, lambda: self._check(embedded))
        for mismatch in ensure_topics(settings).mismatches:
            self._report(f"warning: topic {mismatch}")
        self._report("starting the services")

    def _check(self, children: Sequence[Child]) -> None:
        if self._stopped.is_set():
            raise Interrupted
        for child in children:
            if (code := child.ended()) is not None:
                raise StartFailed(
                    f"{child.spec.name} stopped with {outcome(code)} while starting. The end of its log:\n"
                    f"{child.tail()}{self._kafka_log(child)}"
                    f"See {self._folder.log(child.spec.name)}."
                )

    def _kafka_log(self, child: Child) -> str:
        return tail(self._folder.data(BROKER) / "node-1" / "kafka.log") if child.spec.name == BROKER else ""

    def _await(self, child: Child, deadline: float, http: httpx.Client) -> None:
        assert child.spec.url is not None
        while problem := not_ready(child.spec.url, http):
            self._check(self.children)
            if self._clock() > deadline:
                raise StartFailed(
                    f"{child.spec.name} was not ready within {SERVICE_READY_S:.0f} s: {problem}. "
                    f"The end of its log:\n{child.tail()}See {self._folder.log(child.spec.name)}."
                )
            self._stopped.wait(LOOK_EVERY_S)

    def _tend(self) -> None:
        for child in self.children:
            pid = child.pid
            if (code := child.ended()) is not None:
                self._report(f"{child.spec.name} (pid {pid}) ended with {outcome(code)}; starting it again")
            try:
                if child.revive():
                    self._describe()
            except OSError as error:
                self._report(f"{child.spec.name} cannot be started: {error}")
            child.roll_log()

    def _stop(self) -> None:
        for child in reversed(self.children):
            if child.pid is not None and not child.stop():
                self._report(f"{child.spec.name} did not stop in time and was killed")

    def _describe(self) -> None:
        self._folder.describe(
            {
                "port_base": self._addresses.port_base,
                "external_broker": self._addresses.external_broker,
                "restarts": {child.spec.name: child.restarts for child in self.children},
            }
        )


def not_ready(url: str, http: httpx.Client) -> str | None:
    """What `url`/readyz says is missing, None when ready."""
    try:
        answer = http.get(f"{url}/readyz")
        if answer.status_code == httpx.codes.OK:
            return None
        return "; ".join(answer.json()["problems"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return f"{url}/readyz: {error}"


def outcome(code: int) -> str:
    """An exit code in words."""
    return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
