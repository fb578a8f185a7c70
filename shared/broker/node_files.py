"""The files that a node of the embedded Kafka starts from: server.properties and log4j2.properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
INTERNAL_PARTITIONS = 8
"""Partitions of __consumer_offsets and __transaction_state; Kafka's 50 only slow a small machine down."""


@dataclass(frozen=True)
class Node:
    """One combined broker and controller of the embedded cluster. `directory_id` names its data to KRaft."""

    id: int
    port: int
    controller_port: int
    folder: Path
    directory_id: str

    @property
    def data(self) -> Path:
        """Where Kafka keeps this node's partitions."""
        return self.folder / "data"

    @property
    def properties(self) -> Path:
        """This node's server.properties."""
        return self.folder / "server.properties"

    @property
    def logging(self) -> Path:
        """This node's log4j2.properties."""
        return self.folder / "log4j2.properties"

    @property
    def log(self) -> Path:
        """This node's own log, rolled at 10 MB."""
        return self.folder / "kafka.log"

    @property
    def output(self) -> Path:
        """What the Java process prints: nothing, unless it dies early."""
        return self.folder / "java.out"

    @property
    def voter(self) -> str:
        """This node in the form that `StorageTool --initial-controllers` reads."""
        return f"{self.id}@{HOST}:{self.controller_port}:{self.directory_id}"


def write_files(node: Node, nodes: Sequence[Node]) -> None:
    """Write `node`'s files. They are written anew at every start, so ports may change between starts."""
    node.folder.mkdir(parents=True, exist_ok=True)
    node.properties.write_text(_lines(server_properties(node, nodes)))
    node.logging.write_text(_lines(log_properties(node)))


def server_properties(node: Node, nodes: Sequence[Node]) -> dict[str, object]:
    """What differs from Kafka's defaults, for one node among `nodes`."""
    replicas = min(3, len(nodes))
    in_sync = max(1, replicas - 1)
    return {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": ",".join(f"{HOST}:{each.controller_port}" for each in nodes),
        "log.dirs": node.data.absolute(),
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": INTERNAL_PARTITIONS,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": INTERNAL_PARTITIONS,
        # What a worker that was killed has left open holds up readers until this finds it.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        # A worker that joins or dies is noticed within seconds, not after Kafka's 3 s and 6 s.
        "group.initial.rebalance.delay.ms": 0,
        # Nothing gathers: every transaction commits offsets, and would wait for Kafka's 5 ms twice.
        "group.coordinator.append.linger.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # A killed node may register again once its session has ended.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        # Kafka's 128 MB of cleaner buffer would fill a third of a small heap.
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }


def log_properties(node: Node) -> dict[str, object]:
    """log4j2: warnings and what matters at start, into `node.log`, never more than three files of 10 MB."""
    return {
        "name": "streamwheel-kafka",
        "appender.file.type": "RollingFile",
        "appender.file.name": "file",
        "appender.file.fileName": node.log.absolute(),
        "appender.file.filePattern": f"{node.log.absolute()}.%i",
        "appender.file.layout.type": "PatternLayout",
        "appender.file.layout.pattern": "%d{ISO8601} %p %c{1}: %m%n",
        "appender.file.policies.type": "Policies",
        "appender.file.policies.size.type": "SizeBasedTriggeringPolicy",
        "appender.file.policies.size.size": "10MB",
        "appender.file.strategy.type": "DefaultRolloverStrategy",
        "appender.file.strategy.max": 2,
        "rootLogger.level": "WARN",
        "rootLogger.appenderRef.file.ref": "file",
        "logger.server.name": "kafka.server",
        "logger.server.level": "INFO",
    }


def _lines(properties: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())
