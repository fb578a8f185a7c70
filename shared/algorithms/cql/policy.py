"""States of searches to ranking weights, through onnxruntime."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from shared.algorithms.deep.network import Network
from shared.applications.search_ranking.state import FEATURES, Scaler
from shared.applications.search_ranking.weights import HIGHEST, NAMES, normalised
from shared.core.arrays import Floats


def from_network(outputs: np.ndarray) -> Floats:
    """The network's actions, each within [-1, 1], as weights that sum to 1, (n, 7)."""
    return normalised((np.asarray(outputs, np.float64) + 1) * HIGHEST / 2)


def to_network(weights: Floats) -> Floats:
    """Weights within [0, 1] as the network's actions."""
    return 2 * weights - 1


@dataclass(frozen=True, eq=False)
class RankingPolicy:
    """One weighting for each state."""

    scaler: Scaler | None
    """None where states are not standardised."""
    network: Network

    @property
    def names(self) -> Sequence[str]:
        """The weights' names."""
        return NAMES

    @property
    def width(self) -> int:
        """Numbers of a state."""
        return len(FEATURES)

    def action(self, contexts: np.ndarray) -> Floats:
        """Return the weights, (n, 7), which sum to 1, for raw states (n, 23)."""
        return from_network(self.network(contexts if self.scaler is None else self.scaler(contexts)))


def save_scaler(file: Path, scaler: Scaler | None) -> None:
    """Write as JSON what `load` reads."""
    document = {
        "features": FEATURES,
        "weights": NAMES,
        "mean": None if scaler is None else scaler.mean,
        "deviation": None if scaler is None else scaler.deviation,
    }
    file.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def load(scaler: Path, network: Path) -> RankingPolicy:
    """Restore from verified files. Raises ValueError, KeyError for other content."""
    document, loaded = orjson.loads(scaler.read_bytes()), Network(network)
    if (loaded.width, loaded.size) != (len(FEATURES), len(NAMES)):
        raise ValueError(f"a network from {loaded.width} to {loaded.size} numbers")
    if document["mean"] is None:
        return RankingPolicy(None, loaded)
    return RankingPolicy(Scaler(tuple(document["mean"]), tuple(document["deviation"])), loaded)
