"""A chain of states whose values are known."""

import numpy as np

from shared.core.estimators.sequences.trajectories import Trajectories

STAY, GO = 0, 1
TARGET_GO = 0.8


def chain(trajectories, length, seed, discount=0.9, cut=False):
    """Two states; action GO moves to the other one and pays the state's number plus noise. The log goes with
    chance .5, the target with .8."""
    draw = np.random.default_rng(seed)
    state = np.zeros(trajectories, np.int64)
    columns = {"state": [], "action": [], "reward": []}
    for _ in range(length):
        action = (draw.random(trajectories) < 0.5).astype(np.int64)
        columns["state"].append(state)
        columns["action"].append(action)
        columns["reward"].append(np.where(action == GO, 1.0 + state, 0.0) + draw.normal(0, 0.1, trajectories))
        state = np.where(action == GO, 1 - state, state)
    flat = {name: np.stack(each, axis=1).ravel() for name, each in columns.items()}
    target = np.where(flat["action"] == GO, TARGET_GO, 1 - TARGET_GO)
    count = trajectories * length
    return Trajectories(
        trajectory=np.repeat(np.arange(trajectories), length),
        reward=flat["reward"],
        propensity=np.full(count, 0.5),
        target_propensity=target,
        state=np.eye(2)[flat["state"]],
        action=flat["action"],
        target_probabilities=np.tile([1 - TARGET_GO, TARGET_GO], (count, 1)),
        discount=discount,
        cut=cut,
    )


def value(length, discount=0.9):
    """The target's expected return from state 0 over `length` steps, by dynamic programming."""
    here = [0.0, 0.0]
    for _ in range(length):
        here = [
            TARGET_GO * (1.0 + state + discount * here[1 - state]) + (1 - TARGET_GO) * discount * here[state]
            for state in (0, 1)
        ]
    return here[0]
