"""Serve what `cql` learnt, through onnxruntime."""

from shared.algorithms.artefacts import Artefact
from shared.algorithms.cql.policy import RankingPolicy, load


def policy(artefact: Artefact) -> RankingPolicy:
    """The policy of a verified artefact."""
    return load(artefact.file("scaler.json"), artefact.file("policy.onnx"))
