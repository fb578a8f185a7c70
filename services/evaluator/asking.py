"""Candidates' policies: loaded, verified, and asked, without trust in what they answer."""

from pathlib import Path

import numpy as np

from shared.algorithms.artefacts import ArtefactError, load
from shared.algorithms.serving import DiscretePolicy, Policy, load_policy
from shared.applications.contract import Application
from shared.core.arrays import Floats
from shared.wire.training import Candidate

SUM_TOLERANCE = 1e-6
"""How far a distribution's sum may be from one: networks answer in float32."""


class Unusable(Exception):
    """A candidate whose policy cannot be asked, or whose answers are none; `name` is the reason's."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


def policy_of(candidate: Candidate, application: Application) -> Policy:
    """The verified policy of a candidate, if it decides what the application asks. Raises Unusable."""
    folder = Path(candidate.artefact)
    try:
        made = load(folder, candidate.candidate_id).manifest
        if (made.application, made.algorithm) != (candidate.application, candidate.algorithm):
            raise Unusable(
                "artefact",
                f"the artefact is a {made.algorithm} of {made.application}, the candidate a "
                f"{candidate.algorithm} of {candidate.application}",
            )
        policy = load_policy(folder, candidate.candidate_id)
    except (ArtefactError, OSError) as error:
        raise Unusable("artefact", str(error)) from error
    except ImportError as error:
        raise Unusable("library", f"{candidate.algorithm} needs {error.name}") from error
    _suit(policy, application)
    return policy


def _suit(policy: Policy, application: Application) -> None:
    """What a decision API would ask of it too. Raises Unusable."""
    if policy.width != application.context_width:
        detail = (
            f"the policy reads {policy.width} features, {application.name} has {application.context_width}"
        )
        raise Unusable("schema-drift", detail)
    if not isinstance(policy, DiscretePolicy):
        return
    if application.action_width:
        raise Unusable("actions", "the policy has a list of actions, and requests bring their own")
    if list(policy.actions) != list(application.actions):
        raise Unusable("actions", f"the policy's actions are {', '.join(policy.actions)}, in this order")


def ask(policy: DiscretePolicy, contexts: np.ndarray) -> Floats:
    """The policy's distributions, (n, its actions), for contexts (n, width). Raises Unusable."""
    shape = (len(contexts), len(policy.actions))
    if not len(contexts):
        return np.zeros(shape)
    try:
        found = np.asarray(policy.probabilities(contexts), np.float64)
    except Exception as error:  # what a candidate's own file makes its library raise may be anything
        raise Unusable("policy", f"{type(error).__name__}: {error}") from error
    if found.shape != shape:
        raise Unusable("policy", f"distributions of shape {found.shape} where {shape} is needed")
    sums = found.sum(axis=1)
    wrong = ~((found >= 0).all(axis=1) & (np.abs(sums - 1) <= SUM_TOLERANCE))
    if wrong.any():
        raise Unusable("policy", f"{int(wrong.sum())} of {len(found)} distributions do not add up to one")
    return found
