"""I5: propensities that are probabilities, and draws that anybody can repeat."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from shared.applications.contract import Application
from shared.cli.audit.findings import Findings
from shared.core.draw import draw, uniform

TOLERANCE = 1e-9
FOREIGN_TOLERANCE = 1e-6
"""What other deciders' rounding is allowed."""
OWN = re.compile(r".+@[0-9a-f]{16}")
"""How this platform names its policies; decisions of others were drawn by them."""
_COLUMNS = (
    "decision_id", "application", "policy", "policy_version",
    "action", "propensity", "actions", "probabilities",
)  # fmt: skip


def check_propensities(
    frame: pl.DataFrame, applications: Mapping[str, Application], findings: Findings
) -> None:
    """Hold a batch of decisions against I5."""
    every = {name: application.actions for name, application in applications.items()}
    for decision_id, name, policy, version, action, propensity, actions, shares in frame.select(
        *_COLUMNS
    ).iter_rows():
        names = actions or every.get(name, [])
        own = OWN.fullmatch(policy) is not None
        problem = _problem(names, shares, action, propensity, own=own)
        if own and not problem:
            drawn = names[draw(shares, uniform(decision_id, policy, version))]
            problem = None if drawn == action else f"drew {drawn!r} anew, logged is {action!r}"
        if problem:
            findings.broken("I5", f"{decision_id}: {problem}")


def _problem(
    names: list[str], probabilities: list[float], action: str, propensity: float, *, own: bool
) -> str | None:
    if not 0 < propensity <= 1:
        return f"propensity {propensity}"
    if not probabilities and not own:
        return None
    if len(names) != len(probabilities) or action not in names:
        return f"{len(probabilities)} probabilities for {len(names)} actions, of which it took {action!r}"
    of_action = probabilities[names.index(action)]
    if abs(of_action - propensity) > (0 if own else FOREIGN_TOLERANCE):
        return f"propensity {propensity}, but the action's probability is {of_action}"
    if own and (min(probabilities) <= 0 or abs(sum(probabilities) - 1) > TOLERANCE):
        return "its probabilities are not above zero with a sum of one"
    return None
