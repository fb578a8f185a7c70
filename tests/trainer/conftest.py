"""A broker that a test may stop."""

from tests.broker.conftest import free_port, own_broker

__all__ = ["free_port", "own_broker"]
