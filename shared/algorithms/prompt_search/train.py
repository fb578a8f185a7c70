"""A random forest predicts a call's reward; every combination of slot values is scored with it.

How often callers barge in or repeat themselves is an effect of the prompt, not a circumstance: for a
combination that nobody tried, a second forest predicts those rates first. Scores are averaged over the times
and profiles of real calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.model_selection import KFold, cross_validate, train_test_split

from shared.algorithms.contract import Dataset, Progress
from shared.algorithms.prompt_search import report
from shared.algorithms.prompt_search.calls import (
    PROFILES,
    RATES,
    TIMES,
    Calls,
    context_names,
    one_hot,
    read,
    slot_names,
)
from shared.algorithms.prompt_search.declaration import Parameters
from shared.algorithms.prompt_search.policy import VariantPolicy
from shared.applications.voice_assistant.variants import Variants, read_variants
from shared.core.arrays import Floats


@dataclass(frozen=True, eq=False)
class Scores:
    """What each of m combinations would earn, in each profile."""

    predicted: Floats
    """(m,): mean over the trees and contexts."""
    deviation: Floats
    """(m,): standard deviation over the trees."""
    by_profile: Floats
    """(m, profiles)."""


def summary(data: Dataset, parameters: Parameters) -> Mapping[str, Any]:
    """Counts of calls and variants, and of the preferences between them."""
    calls = read(data, parameters, read_variants())
    return report.data_summary(calls.frame) | {
        "preferences": len(report.preferences(calls.frame, parameters.preference_gap))
    }


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Fit, score the full grid, and write policy, top combinations, preferences and recommendations."""
    variants = read_variants()
    calls = read(data, parameters, variants)
    progress(0.1, f"fitting {parameters.trees} trees to {len(calls.frame)} calls")
    metrics, importances = _measure(calls, variants, parameters, seed)
    progress(0.6, "scoring every combination")
    rewards, rates = _fit(calls, parameters, seed)
    grid = variants.grid()
    sample = _contexts(calls, parameters, seed)
    scores = _score(rewards, rates, one_hot(grid, variants), sample)
    known = _score(rewards, rates, one_hot(list(variants.variants.values()), variants), sample)
    top = report.top(grid, scores.predicted, scores.deviation, variants, parameters)
    report.write(out, calls.frame, top, importances, parameters)
    (out / "grid.json").write_bytes(
        orjson.dumps(
            [
                {"slots": slots, "predicted_reward": reward}
                for slots, reward in zip(grid, scores.predicted.tolist(), strict=True)
            ]
        )
    )
    actions = list(data.actions or variants.variants)
    order = [list(variants.variants).index(name) for name in actions]
    VariantPolicy(actions, PROFILES, known.by_profile[order].T, parameters.floor).save(out / "policy.json")
    progress(1.0, "done")
    return metrics | {
        "best_predicted_reward": float(scores.predicted.max()),
        "combinations": float(len(grid)),
    }


def _inputs(slots: Floats, contexts: Floats, rates: Floats) -> Floats:
    return np.concatenate([slots, contexts, rates], axis=1)


def _forest(calls: Calls, parameters: Parameters, seed: int) -> RandomForestRegressor:
    return RandomForestRegressor(
        parameters.trees,
        max_features=parameters.max_features,
        min_samples_leaf=min(parameters.min_leaf, max(1, len(calls.frame) // 10)),
        random_state=seed % 2**32,
    )


def _fit(
    calls: Calls, parameters: Parameters, seed: int
) -> tuple[RandomForestRegressor, RandomForestRegressor]:
    """The forest of rewards, and the one of the rates that it takes among its inputs."""
    rewards = _forest(calls, parameters, seed)
    rewards.fit(_inputs(calls.slots, calls.contexts, calls.rates), calls.rewards)
    rates = _forest(calls, parameters, seed)
    rates.fit(np.concatenate([calls.slots, calls.contexts], axis=1), calls.rates)
    return rewards, rates


def _measure(
    calls: Calls, variants: Variants, parameters: Parameters, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Errors on a held-out part and over folds; the importance of each input."""
    inputs, rewards = _inputs(calls.slots, calls.contexts, calls.rates), calls.rewards
    state = seed % 2**32
    seen, unseen, seen_rewards, unseen_rewards = train_test_split(
        inputs, rewards, test_size=parameters.test_split, random_state=state
    )
    forest = _forest(calls, parameters, seed).fit(seen, seen_rewards)
    predicted = forest.predict(unseen)
    folds = cross_validate(
        _forest(calls, parameters, seed),
        inputs,
        rewards,
        cv=KFold(parameters.folds, shuffle=True, random_state=state),
        scoring=("neg_mean_squared_error", "r2"),
    )
    names = [*slot_names(variants), *context_names(), *RATES]
    metrics = {
        "mse": float(mean_squared_error(unseen_rewards, predicted)),
        "r2": float(r2_score(unseen_rewards, predicted)),
        "cross_validated_mse": float(-folds["test_neg_mean_squared_error"].mean()),
        "cross_validated_r2": float(folds["test_r2"].mean()),
        "cross_validated_r2_deviation": float(folds["test_r2"].std()),
        "calls": float(len(rewards)),
    }
    return metrics, dict(zip(names, forest.feature_importances_.tolist(), strict=True))


def _contexts(calls: Calls, parameters: Parameters, seed: int) -> Floats:
    """Times and profiles of some calls, each profile in its share, drawn without replacement."""
    random = np.random.Generator(np.random.Philox(key=seed))
    count = min(parameters.contexts, len(calls.contexts))
    return calls.contexts[np.sort(random.choice(len(calls.contexts), count, replace=False))]


def _score(
    rewards: RandomForestRegressor, rates: RandomForestRegressor, combinations: Floats, contexts: Floats
) -> Scores:
    trees, predicted = _trees(rewards, rates, combinations, contexts)
    by_profile = np.empty((len(combinations), len(PROFILES)))
    first = len(TIMES)
    for i in range(len(PROFILES)):
        inside = contexts.copy()
        inside[:, first : first + len(PROFILES)] = np.eye(len(PROFILES))[i]
        by_profile[:, i] = _trees(rewards, rates, combinations, inside)[1]
    return Scores(predicted, trees.std(axis=0), by_profile)


def _trees(
    rewards: RandomForestRegressor, rates: RandomForestRegressor, combinations: Floats, contexts: Floats
) -> tuple[Floats, Floats]:
    """Each tree's mean over the contexts for each combination, (trees, m), and the trees' mean, (m,)."""
    m, c = len(combinations), len(contexts)
    slots, repeated = np.repeat(combinations, c, axis=0), np.tile(contexts, (m, 1))
    expected = rates.predict(np.concatenate([slots, repeated], axis=1))
    inputs = _inputs(slots, repeated, expected)
    found = np.stack([tree.predict(inputs).reshape(m, c).mean(axis=1) for tree in rewards.estimators_])
    return found, np.asarray(found.mean(axis=0))
