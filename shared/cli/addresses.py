"""Who listens where: the ports of a loop on this machine, counted from one base."""

from dataclasses import dataclass

from shared.broker.node_files import HOST
from shared.broker.settings import BrokerSettings

DEFAULT_BASE = 8000
OFFSETS = {
    "collector": 1,
    "decisions": 2,
    "deployer": 3,
    "trainer": 4,
    "evaluator": 5,
    "reward-calculator": 6,
    "learner": 7,
    "broker": 9,
    "controller": 10,
}
"""Process → its port's distance from the base."""
SERVICES = tuple(name for name in OFFSETS if name not in ("broker", "controller"))
BLOCK = 11
"""Ports that belong to one base, the base included."""
LAST_BASE = 65535 - BLOCK + 1


@dataclass(frozen=True)
class Addresses:
    """The addresses of one loop. `external_broker` names a cluster that is used instead of the embedded."""

    port_base: int = DEFAULT_BASE
    external_broker: str | None = None

    def port(self, name: str) -> int:
        """The port of a process named in OFFSETS."""
        return self.port_base + OFFSETS[name]

    def url(self, name: str) -> str:
        """`http://host:port` of a service."""
        return f"http://{HOST}:{self.port(name)}"

    @property
    def broker(self) -> str:
        """Kafka's bootstrap servers."""
        return self.external_broker or f"{HOST}:{self.port('broker')}"

    @property
    def broker_settings(self) -> BrokerSettings:
        """Client settings for that Kafka. Raises pydantic.ValidationError for a wrong environment."""
        if self.external_broker:
            return BrokerSettings(broker=self.external_broker)
        return BrokerSettings(broker=self.broker, broker_security="PLAINTEXT")

    def document(self) -> dict[str, str]:
        """Name → address of everything that can be talked to."""
        return {"broker": self.broker, **{name: self.url(name) for name in SERVICES}}
