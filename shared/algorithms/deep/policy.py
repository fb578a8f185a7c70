"""A network over listeners' vectors that decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import orjson

from shared.algorithms.deep.network import Network
from shared.core.arrays import Floats
from shared.core.policies import distributions

Kind = Literal["values", "probabilities"]


@dataclass(frozen=True, eq=False)
class NetworkPolicy:
    """Takes the action of the highest value, or draws from the network's distribution, but for `floor`."""

    actions: Sequence[str]
    floor: float
    kind: Kind
    """What the network gives for each action."""
    network: Network

    @property
    def width(self) -> int:
        """Numbers in a context."""
        return self.network.width

    def probabilities(self, contexts: np.ndarray) -> Floats:
        """Return the distribution over the actions, (n, actions), for contexts (n, width)."""
        found = self.network(contexts)
        if self.kind == "values":
            return distributions.mixed(distributions.best(found, None), None, self.floor)
        found = np.clip(found, 0.0, None)
        return distributions.mixed(found / found.sum(axis=1, keepdims=True), None, self.floor)

    @staticmethod
    def describe(file: Path, actions: Sequence[str], floor: float, kind: Kind) -> None:
        """Write what the network's file does not tell."""
        document = {"actions": list(actions), "floor": floor, "kind": kind}
        file.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))

    @classmethod
    def load(cls, description: Path, network: Path) -> Self:
        """Restore from verified files. Raises ValueError, KeyError for other content."""
        document = orjson.loads(description.read_bytes())
        loaded = Network(network)
        if loaded.size != len(document["actions"]) or document["kind"] not in ("values", "probabilities"):
            raise ValueError(f"a network of {loaded.size} outputs for {len(document['actions'])} actions")
        return cls(document["actions"], document["floor"], document["kind"], loaded)
