"""Trained policies as the log names them: verified, loaded once, and asked by the batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shared.algorithms.fetching import ArtefactCache, expected_id
from shared.algorithms.serving import ContinuousPolicy, Policy, policy_of
from shared.wire.rollouts import Deployed


class Trained:
    """Policies by their name in decisions."""

    def __init__(self, artefacts: Mapping[str, Deployed], cache: ArtefactCache) -> None:
        self._artefacts, self._cache = artefacts, cache
        self._known: dict[str, Policy | str] = {}

    def policy(self, name: str) -> Policy | str:
        """The policy, or why it cannot be had."""
        if name not in self._known:
            self._known[name] = self._load(self._artefacts[name])
        return self._known[name]

    def rows(self, policy: Policy, contexts: Mapping[int, np.ndarray]) -> dict[int, np.ndarray] | str:
        """Distributions, or numbers of a vector, for contexts by their place; or why there are none."""
        matrix = np.stack(list(contexts.values())).astype(np.float64)
        try:
            vector = isinstance(policy, ContinuousPolicy)
            found = policy.action(matrix) if vector else policy.probabilities(matrix)  # type: ignore[union-attr]
        except Exception as error:  # whatever is in a network
            return f"{type(error).__name__}: {error}"
        return dict(zip(contexts, np.asarray(found, np.float64), strict=True))

    def _load(self, deployed: Deployed) -> Policy | str:
        try:
            expected = expected_id(deployed.policy, deployed.manifest_sha256)
            return policy_of(self._cache.artefact(deployed.artefact, expected))
        except Exception as error:  # storages of all kinds raise classes of their own
            return f"{deployed.artefact}: {type(error).__name__}: {error}"
