"""Serve what `actor_critic` learnt, through onnxruntime."""

from shared.algorithms.artefacts import Artefact
from shared.algorithms.deep.policy import NetworkPolicy


def policy(artefact: Artefact) -> NetworkPolicy:
    """The policy of a verified artefact."""
    return NetworkPolicy.load(artefact.file("policy.json"), artefact.file("policy.onnx"))
