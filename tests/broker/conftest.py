"""Brokers that a test may kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.broker.embedded import EmbeddedBroker
from tests.ports import own_ports


@pytest.fixture
def free_port() -> int:
    """The first of eight free ports in a row."""
    return own_ports(8)


@pytest.fixture
def own_broker(tmp_path: Path, free_port: int) -> Iterator[EmbeddedBroker]:
    """A single-node broker that is this test's own, not yet started."""
    broker = EmbeddedBroker(tmp_path / "kafka", free_port, heap_mb=256)
    yield broker
    broker.stop()
