"""Sessions of simulated listeners, and a small network."""

from tests.algorithms.tiny.q_learning import dataset

__all__ = ["PARAMETERS", "dataset"]

PARAMETERS: dict[str, object] = {"hidden": [16], "steps": 30, "batch_size": 32}
