"""Serve what `ucb` learnt."""

from shared.algorithms.artefacts import Artefact
from shared.algorithms.q_learning.policy import TablePolicy


def policy(artefact: Artefact) -> TablePolicy:
    """The policy of a verified artefact."""
    return TablePolicy.load(artefact.file("policy.json"))
