"""The online policy's decisions, as an application's guard shares them out."""

import numpy as np

from services.online_bandit.api.requests import Asked
from services.online_bandit.api.served import ServedPolicy
from services.online_bandit.api.trained import Distribution, Row
from shared.applications.contract import Application


def allotted(policy: ServedPolicy, asked: Asked, row: Row) -> Distribution:
    """What may be drawn, where the policy itself would draw from `row`.

    A request's own list is what the product has chosen to offer: it is left alone.
    """
    guard = asked.application.guard
    if guard is None or not asked.every:
        return Distribution(asked.names, asked.every, row)
    shares = guard.shares(policy.pulls, policy.means, row)
    offered = np.flatnonzero(shares)
    if len(offered) == len(shares):
        return Distribution(asked.names, True, shares)
    return Distribution([asked.names[n] for n in offered], False, shares[offered])


def typical_shares(policy: ServedPolicy, application: Application) -> Row:
    """The distribution over the list of actions, (k,), in a context of zeros."""
    row: Row = policy.model.probabilities(np.zeros((1, policy.model.width)))[0]
    guard = application.guard
    return row if guard is None else guard.shares(policy.pulls, policy.means, row)
