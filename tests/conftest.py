"""Fixtures every test may use: one real single-node Kafka for the session, fresh names for each test."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from shared.broker.embedded import EmbeddedBroker
from shared.broker.settings import BrokerSettings
from shared.broker.topics import ensure_topics
from tests.ports import own_ports

if "PYTEST_XDIST_WORKER" in os.environ:  # as many threads as cores, in as many processes, wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is no failure, so examples have no deadline. Under CI they are the same ones each time.
settings.register_profile(
    "busy machine", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy machine")


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: most tests wait for services now and then."""
    return min(4, (os.cpu_count() or 1) + 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing that importing and collecting make is garbage, and looking for some takes long."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A running single-node broker, shared by the session. Tests that kill brokers start their own."""
    with EmbeddedBroker(tmp_path_factory.mktemp("kafka"), own_ports(2)) as running:
        yield running


@pytest.fixture
def names(broker: EmbeddedBroker) -> BrokerSettings:
    """Settings for `broker` with a prefix of this test's own; no topics exist under it yet."""
    return broker.settings.model_copy(update={"topic_prefix": f"t{uuid.uuid4().hex[:10]}-"})


@pytest.fixture
def topics(names: BrokerSettings) -> BrokerSettings:
    """Settings as in `names`, with all topics of the loop created (4 partitions)."""
    ensure_topics(names)
    return names
