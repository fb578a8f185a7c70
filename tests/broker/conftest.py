"""Brokers that a test may kill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.broker.embedded import EmbeddedBroker
from shared.broker.node_files import HOST
from shared.broker.ports import FIRST, LAST, free_block


@pytest.fixture
def free_port() -> int:
    """The first of eight free ports in a row."""
    return free_block(HOST, 8, (FIRST + LAST) // 2 + 8 * (os.getpid() % ((LAST - FIRST) // 32)))


@pytest.fixture
def own_broker(tmp_path: Path, free_port: int) -> Iterator[EmbeddedBroker]:
    """A single-node broker that is this test's own, not yet started."""
    broker = EmbeddedBroker(tmp_path / "kafka", free_port, heap_mb=256)
    yield broker
    broker.stop()
