"""The ids by which KRaft knows a cluster and its data folders, kept beside the data."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.broker.readiness import BrokerError


@dataclass(frozen=True)
class Identity:
    """A cluster's id and one id for each node's data folder, in node order."""

    cluster: str
    directories: tuple[str, ...]


def identity(state: Path, nodes: int) -> Identity:
    """The identity of the cluster in `state`, made and written there when it is new.

    Raises BrokerError when `state` holds a cluster of another size.
    """
    path = state / "cluster.json"
    if not path.exists():
        made = Identity(_kafka_id(), tuple(_kafka_id() for _ in range(nodes)))
        state.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(made)))
        return made
    stored = json.loads(path.read_text())
    known = Identity(stored["cluster"], tuple(stored["directories"]))
    if len(known.directories) != nodes:
        raise BrokerError(
            f"{state} holds a cluster of {len(known.directories)} nodes, not {nodes}; choose another --state"
        )
    return known


def _kafka_id() -> str:
    """A random UUID as Kafka writes it, without the leading dash that its command line cannot read."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return text if not text.startswith("-") else _kafka_id()
