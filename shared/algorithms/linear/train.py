"""Doubly robust off-policy learning (Dudík, Langford and Li 2011) with linear models.

A ridge regression for each action, cross-fitted by subject, predicts rewards q(x, a). The doubly robust score
of an action in a logged context is q(x, a) + [a was chosen] (r - q(x, a)) / propensity, whose mean is the
action's value if either q or the propensities are right, as far as weights are not cut. A second ridge
regression, of the scores on the context, is the policy: it takes the action with the highest prediction, but
for `floor`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.algorithms.contract import Dataset, NotTrainable, Progress
from shared.algorithms.linear.declaration import TABLES, Parameters
from shared.algorithms.linear.policy import LinearPolicy
from shared.algorithms.rewards import TABLE
from shared.algorithms.splits import folds, held_out
from shared.core.arrays import Bools, Floats
from shared.core.features.scaling import Scaling
from shared.core.policies.configuration import PolicyConfiguration

#: Standard errors on each side of a 95 % interval.
NORMAL_95 = 1.959964


@dataclass(frozen=True, eq=False)
class Logged:
    """n decisions."""

    contexts: Floats
    """(n, d)."""
    chosen: np.ndarray
    """(n,) int64: position of the chosen action in the application's list."""
    propensity: Floats
    reward: Floats
    subjects: list[str]

    def part(self, rows: Bools) -> "Logged":
        """Return some of the rows."""
        subjects = [subject for subject, taken in zip(self.subjects, rows, strict=True) if taken]
        return Logged(
            self.contexts[rows], self.chosen[rows], self.propensity[rows], self.reward[rows], subjects
        )


def summary(data: Dataset, parameters: Parameters) -> Mapping[str, Any]:
    """Counts of rows, subjects and choices."""
    logged = read(data, parameters)
    counts = np.bincount(logged.chosen, minlength=len(data.actions)).tolist()
    return {
        "rewards": len(logged.reward),
        "subjects": len(set(logged.subjects)),
        "features": logged.contexts.shape[1],
        "mean_reward": float(logged.reward.mean()),
        "chosen": dict(zip(data.actions, counts, strict=True)),
        "smallest_propensity": float(logged.propensity.min()),
    }


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Learn a policy from `rewards`, estimate its value on held-out subjects, write `policy.json`."""
    logged = read(data, parameters)
    tested = held_out(logged.subjects, parameters.test_split, seed)
    if tested.all() or not tested.any():
        raise NotTrainable("rewards: all are of one subject; two or more are needed to hold some out")
    progress(0.1, "learning from the subjects that are not held out")
    policy = _learn(logged.part(~tested), list(data.actions), parameters, seed)
    metrics = _judge(policy, logged, tested, parameters, seed)
    if metrics["effective_sample_size"] < parameters.min_effective_sample:
        raise NotTrainable(
            f"effective sample of {metrics['effective_sample_size']:.1f} held-out decisions, "
            f"at least {parameters.min_effective_sample:g} are needed"
        )
    progress(0.6, "learning from all")
    _learn(logged, list(data.actions), parameters, seed).save(out / "policy.json")
    progress(1.0, "done")
    return metrics


def read(data: Dataset, parameters: Parameters) -> Logged:
    """The table `rewards` as arrays. Raises NotTrainable."""
    if not data.actions:
        raise NotTrainable(f"{data.application}: requests bring their own actions; a list is needed")
    frame = data.table(TABLE, TABLES[TABLE])
    if len(frame) < parameters.min_rewards:
        raise NotTrainable(f"rewards: {len(frame)} rows, at least {parameters.min_rewards} are needed")
    position = {name: i for i, name in enumerate(data.actions)}
    if unknown := sorted(set(frame["action"].unique()) - position.keys()):
        raise NotTrainable(f"rewards.action: {', '.join(unknown[:5])}: no actions of {data.application}")
    widths = frame["context"].list.len().unique().to_list()
    if len(widths) != 1 or not widths[0]:
        raise NotTrainable(f"rewards.context: lengths {sorted(widths)}; all must have one length above 0")
    propensity, reward = frame["propensity"].to_numpy(), frame["reward"].to_numpy()
    if wrong := int(((propensity <= 0) | (propensity > 1)).sum()):
        raise NotTrainable(f"rewards.propensity: {wrong} are not within (0, 1]")
    if frame["action"].n_unique() < 2:
        raise NotTrainable("rewards.action: all alike; at least two actions must have been tried")
    if np.ptp(reward) == 0:
        raise NotTrainable(f"rewards.reward: all are {reward[0]:g}; nothing tells actions apart")
    contexts = frame["context"].explode().to_numpy().reshape(-1, widths[0])
    chosen = np.array([position[name] for name in frame["action"]], np.int64)
    return Logged(contexts, chosen, propensity, reward, frame["subject_id"].to_list())


def _learn(logged: Logged, actions: list[str], parameters: Parameters, seed: int) -> LinearPolicy:
    configuration = PolicyConfiguration(
        map=parameters.map, fourier_features=parameters.fourier_features, seed=seed
    )
    unfitted = LinearPolicy(
        actions, parameters.floor, configuration, Scaling.fit(logged.contexts), np.zeros((len(actions), 0))
    )
    features = unfitted.features(logged.contexts)
    scores = _doubly_robust(features, logged, len(actions), parameters, seed)
    return unfitted.with_coefficients(_ridge(features, scores, parameters.ridge).T)


def _doubly_robust(
    features: Floats, logged: Logged, actions: int, parameters: Parameters, seed: int
) -> Floats:
    """Scores (n, actions), each by a reward model that has not seen the row's subject."""
    scores = np.zeros((len(features), actions))
    fold = folds(logged.subjects, parameters.folds, seed)
    for k in range(parameters.folds):
        seen, unseen = fold != k, fold == k
        coefficients = _reward_model(features[seen], logged.part(seen), actions, parameters.ridge)
        scores[unseen] = features[unseen] @ coefficients.T
    rows = np.arange(len(scores))
    weights = 1.0 / logged.propensity
    if parameters.clip is not None:
        weights = np.minimum(weights, parameters.clip)
    scores[rows, logged.chosen] += weights * (logged.reward - scores[rows, logged.chosen])
    return scores


def _reward_model(features: Floats, logged: Logged, actions: int, ridge: float) -> Floats:
    """Coefficients (actions, size), drawn to the mean reward: an action that was never chosen predicts it."""
    found, mean = np.zeros((actions, features.shape[1])), float(logged.reward.mean())
    for action in range(actions):
        mine = logged.chosen == action
        found[action] = _ridge(features[mine], logged.reward[mine, None] - mean, ridge)[:, 0]
    found[:, logged.contexts.shape[1]] += mean  # the feature after the linear ones is the constant 1
    return found


def _ridge(features: Floats, targets: Floats, ridge: float) -> Floats:
    """Coefficients (size, m) for targets (n, m)."""
    matrix = features.T @ features + ridge * np.eye(features.shape[1])
    return np.asarray(np.linalg.solve(matrix, features.T @ targets))


def _judge(
    policy: LinearPolicy, logged: Logged, tested: Bools, parameters: Parameters, seed: int
) -> dict[str, float]:
    """Value of the policy on held-out decisions, doubly robust and self-normalised, beside the log's."""
    held = logged.part(tested)
    features = policy.features(logged.contexts)
    model = _reward_model(features[~tested], logged.part(~tested), len(policy.actions), parameters.ridge)
    predicted = features[tested] @ model.T
    wanted = policy.probabilities(held.contexts)
    rows = np.arange(len(held.reward))
    ratio = wanted[rows, held.chosen] / held.propensity
    residual = held.reward - predicted[rows, held.chosen]
    per_decision = (wanted * predicted).sum(axis=1) + ratio * residual
    value, margin = _mean_by_subject(per_decision, held.subjects)
    gain, gain_margin = _mean_by_subject(per_decision - held.reward, held.subjects)
    return {
        "value": value,
        "value_low": value - margin,
        "value_high": value + margin,
        "value_snips": float((ratio * held.reward).sum() / max(ratio.sum(), 1e-300)),
        "logged_value": float(held.reward.mean()),
        "gain": gain,
        "gain_low": gain - gain_margin,
        "gain_high": gain + gain_margin,
        "effective_sample_size": float(ratio.sum() ** 2 / max((ratio**2).sum(), 1e-300)),
        "max_weight": float(ratio.max()),
        "held_out": float(len(rows)),
        "rewards": float(len(logged.reward)),
    }


def _mean_by_subject(values: Floats, subjects: list[str]) -> tuple[float, float]:
    """The mean, and half the width of its 95 % interval with subjects as clusters."""
    mean = float(values.mean())
    _, owner = np.unique(subjects, return_inverse=True)
    sums = np.bincount(owner, values - mean)
    clusters = len(sums)
    if clusters < 2:
        return mean, float(np.ptp(values))
    error = np.sqrt((sums**2).sum() * clusters / (clusters - 1)) / len(values)
    return mean, float(NORMAL_95 * error)
