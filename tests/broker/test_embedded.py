"""The embedded Kafka keeps its data over crashes, stops when told, and explains why it cannot start."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shared.broker.embedded import EmbeddedBroker
from shared.broker.node_files import HOST
from shared.broker.ports import PortTaken
from shared.broker.producers import BatchProducer
from shared.broker.readiness import BrokerError, wait_until_ready
from shared.broker.settings import BrokerSettings
from shared.broker.topics import ensure_topics
from tests.broker.reading import read_all

LIMIT_S = 120.0
pytestmark = pytest.mark.timeout(600)  # several starts of Kafka, on a machine that may be busy


def write(settings: BrokerSettings, value: bytes) -> None:
    """Have one record acknowledged."""

    async def send() -> None:
        producer = BatchProducer(settings, timeout_s=LIMIT_S)
        await producer.start()
        try:
            await producer.send("decisions", b"key", value)
        finally:
            await producer.stop()

    asyncio.run(send())


def values(settings: BrokerSettings) -> list[bytes]:
    """What `decisions` holds."""
    return [record.value for record in asyncio.run(read_all(settings, "decisions"))]


def test_data_survives_a_kill_and_a_move_to_other_ports(own_broker: EmbeddedBroker, free_port: int) -> None:
    own_broker.start()
    ensure_topics(own_broker.settings)
    write(own_broker.settings, b"before the kill")
    own_broker.kill()
    own_broker.restart()
    assert values(own_broker.settings) == [b"before the kill"]
    pid = own_broker.pid()
    own_broker.stop()
    assert not psutil.pid_exists(pid)
    moved = EmbeddedBroker(own_broker.state, free_port + 2, heap_mb=256)
    with moved:
        write(moved.settings, b"after the move")
        assert values(moved.settings) == [b"before the kill", b"after the move"]
        with pytest.raises(PortTaken, match=str(free_port + 2)):
            EmbeddedBroker(own_broker.state, free_port + 2).start()
    log = (own_broker.state / "node-1" / "kafka.log").read_text()
    assert " ERROR " not in log


def test_in_the_foreground_the_process_itself_is_kafka(tmp_path: Path, free_port: int) -> None:
    command = [sys.executable, "-m", "shared.broker.embedded", "--state", str(tmp_path), "--port"]
    process = subprocess.Popen([*command, str(free_port), "--heap-mb", "256"])
    try:
        wait_until_ready(BrokerSettings(broker=f"{HOST}:{free_port}"), timeout_s=LIMIT_S)
        assert "java" in psutil.Process(process.pid).name()
        second = subprocess.run([*command, str(free_port)], capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert f"port {free_port} is taken" in second.stderr
        assert "Traceback" not in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) in (0, 128 + signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


def test_three_nodes_go_on_without_one(tmp_path: Path, free_port: int) -> None:
    with EmbeddedBroker(tmp_path, free_port, nodes=3, heap_mb=192) as cluster:
        ensure_topics(cluster.settings)
        write(cluster.settings, b"with three")
        cluster.kill(1)
        write(cluster.settings, b"with two")
        cluster.restart(1)
        assert values(cluster.settings) == [b"with three", b"with two"]
    with pytest.raises(BrokerError, match="3 nodes, not 1"):
        EmbeddedBroker(tmp_path, free_port)


def test_a_start_that_fails_shows_what_kafka_said(own_broker: EmbeddedBroker) -> None:
    data = own_broker.nodes[0].data
    own_broker.prepare()
    (data / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=of-another-cluster\n")
    with pytest.raises(BrokerError, match=r"stopped with exit code 1(?s:.*)kafka\.log") as failure:
        own_broker.start()
    assert "Exception" in str(failure.value)


def test_a_broker_that_is_not_there_is_named(free_port: int) -> None:
    with pytest.raises(BrokerError, match=f"{HOST}:{free_port}.*STREAMWHEEL_BROKER"):
        wait_until_ready(BrokerSettings(broker=f"{HOST}:{free_port}"), timeout_s=0.2)
