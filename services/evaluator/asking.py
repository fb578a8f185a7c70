"""Candidates' policies: loaded, verified, and asked, without trust in what they answer."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from services.evaluator.artefacts import artefact
from shared.algorithms.artefacts import Artefact, ArtefactError
from shared.algorithms.reaching import Unreachable, wrong
from shared.algorithms.serving import ContinuousPolicy, DiscretePolicy, Policy
from shared.algorithms.serving import policy_of as serve
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
    """The verified policy of a candidate, if it decides what the application asks. Raises Unusable, and
    Unreachable where another attempt may do better."""
    with unusable_if_broken(candidate), artefact(candidate.artefact, candidate.candidate_id) as found:
        check(found, candidate)
        policy = serve(found)
    _suit(policy, application)
    return policy


@contextmanager
def unusable_if_broken(candidate: Candidate) -> Iterator[None]:
    """What is wrong with an artefact as a reason; what is wrong with its storage stays Unreachable."""
    try:
        yield
    except (Unusable, Unreachable):
        raise
    except ImportError as error:
        raise Unusable("library", f"{candidate.algorithm} needs {error.name}") from error
    except (ArtefactError, FileNotFoundError) as error:
        raise Unusable("artefact", wrong(candidate.artefact, error)) from error
    except Exception as error:  # what a candidate's own file makes its library raise may be anything
        detail = f"{candidate.artefact}: {type(error).__name__}: {error}"
        raise Unusable("artefact", detail) from error


def check(found: Artefact, candidate: Candidate) -> None:
    """Hold an artefact to what its candidate says. Raises Unusable."""
    made = found.manifest
    if (made.application, made.algorithm) != (candidate.application, candidate.algorithm):
        raise Unusable(
            "artefact",
            f"the artefact is a {made.algorithm} of {made.application}, the candidate a "
            f"{candidate.algorithm} of {candidate.application}",
        )


def _suit(policy: Policy, application: Application) -> None:
    """What a decision API would ask of it too. Raises Unusable."""
    if policy.width != application.context_width:
        detail = (
            f"the policy reads {policy.width} features, {application.name} has {application.context_width}"
        )
        raise Unusable("schema-drift", detail)
    if isinstance(policy, ContinuousPolicy):
        vector = application.vector_action
        if vector is None or list(policy.names) != list(vector.numbers):
            raise Unusable("actions", f"the policy's action is a vector of {', '.join(policy.names)}")
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
