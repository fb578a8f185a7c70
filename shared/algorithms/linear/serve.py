"""Serve what `linear` learnt."""

from shared.algorithms.artefacts import Artefact
from shared.algorithms.linear.policy import LinearPolicy


def policy(artefact: Artefact) -> LinearPolicy:
    """The policy of a verified artefact."""
    return LinearPolicy.load(artefact.file("policy.json"))
