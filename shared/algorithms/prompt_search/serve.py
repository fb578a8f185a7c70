"""Serve what `prompt_search` learnt: the best of the variants that exist."""

from shared.algorithms.artefacts import Artefact
from shared.algorithms.prompt_search.policy import VariantPolicy


def policy(artefact: Artefact) -> VariantPolicy:
    """The policy of a verified artefact."""
    return VariantPolicy.load(artefact.file("policy.json"))
