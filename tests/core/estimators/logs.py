"""Small logs for tests."""

import numpy as np

from shared.core.estimators.log import Logged


def logged(rows=200, seed=0, *, models=True, subjects=0):
    """A log with weights between 1/8 and 8."""
    draw = np.random.default_rng(seed)
    propensity = draw.uniform(0.1, 0.8, rows)
    return Logged(
        reward=draw.normal(1.0, 2.0, rows),
        propensity=propensity,
        target_propensity=np.where(draw.random(rows) < 0.1, 0.0, draw.uniform(0.1, 0.8, rows)),
        q_logged=draw.normal(1.0, 1.0, rows) if models else None,
        q_target=draw.normal(1.0, 1.0, rows) if models else None,
        cluster=draw.integers(subjects, size=rows).astype(np.uint64) if subjects else None,
    )


def tuples(log):
    """Its rows as plain floats: reward, propensity, target propensity, q_logged, q_target."""
    columns = (log.reward, log.propensity, log.target_propensity, log.q_logged, log.q_target)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def on_policy(rows, *, lift=0.0, seed=0, better_by=1.0):
    """Two equally likely actions, one better; the target moves `lift` of the choice to that one."""
    draw = np.random.default_rng(seed)
    better = draw.random(rows) < 0.5
    return Logged(
        reward=better_by * better + draw.normal(0.0, 1.0, rows),
        propensity=np.full(rows, 0.5),
        target_propensity=np.where(better, 0.5 + lift, 0.5 - lift),
    )


def parts(log, size):
    """The same log in chunks."""
    for start in range(0, len(log), size):
        cut = slice(start, start + size)
        yield Logged(
            reward=log.reward[cut],
            propensity=log.propensity[cut],
            target_propensity=log.target_propensity[cut],
            q_logged=None if log.q_logged is None else log.q_logged[cut],
            q_target=None if log.q_target is None else log.q_target[cut],
            cluster=None if log.cluster is None else log.cluster[cut],
        )
