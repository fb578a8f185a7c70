"""Policies from verified artefacts, ready to decide."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast, runtime_checkable

import numpy as np

from shared.algorithms.artefacts import Artefact, ArtefactError, load
from shared.algorithms.registry import algorithms
from shared.core.arrays import Floats


@runtime_checkable
class DiscretePolicy(Protocol):
    """A policy over a list of actions."""

    @property
    def actions(self) -> Sequence[str]:
        """The actions, in the order of the probabilities."""

    @property
    def width(self) -> int:
        """Numbers in a context."""

    def probabilities(self, contexts: np.ndarray) -> Floats:
        """Return the exact distribution, (n, actions), above zero everywhere, for contexts (n, width)."""


@runtime_checkable
class ContinuousPolicy(Protocol):
    """A policy whose action is a vector of numbers."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the action's m numbers."""

    @property
    def width(self) -> int:
        """Numbers in a context."""

    def action(self, contexts: np.ndarray) -> Floats:
        """Return the actions, (n, m), for contexts (n, width)."""


Policy = DiscretePolicy | ContinuousPolicy


def load_policy(folder: Path, expected: str | None = None) -> Policy:
    """The policy of an artefact, which is verified first, against the id `expected` if one is given.

    Raises ArtefactError for one that was changed, or whose algorithm is unknown or serves nothing here.
    """
    return policy_of(load(folder, expected))


def policy_of(artefact: Artefact) -> Policy:
    """The policy of a verified artefact.

    Raises ArtefactError for one whose algorithm is unknown or serves nothing here.
    """
    folder, name = artefact.folder, artefact.manifest.algorithm
    serving = _serving(name)
    if serving is None:
        raise ArtefactError(f"{folder}: policies of {name} are not served from files")
    try:
        return cast(Policy, serving.policy(artefact))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{folder}: is no policy of {name}: {error}") from error


def is_served(algorithm: str) -> bool:
    """Whether `load_policy` knows what to do with artefacts of an algorithm."""
    return _serving(algorithm) is not None


def _serving(algorithm: str) -> ModuleType | None:
    known = algorithms()
    return known[algorithm].serving() if algorithm in known else None
