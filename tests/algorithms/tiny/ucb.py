"""The same listeners."""

from tests.algorithms.tiny.q_learning import dataset

__all__ = ["PARAMETERS", "dataset"]

PARAMETERS: dict[str, object] = {}
