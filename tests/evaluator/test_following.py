"""Candidates that give vectors, and language models, as decisions flow on a real Kafka."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.algorithms.artefacts import Artefact
from shared.algorithms.serving import ContinuousPolicy, load_policy
from shared.applications.registry import load
from shared.applications.search_ranking.weights import NAMES
from shared.broker.settings import BrokerSettings
from shared.core.estimators.continuous.reference import Reference
from shared.core.estimators.continuous.weighing import VectorLog
from shared.wire.rollouts import Deployed, Deployment
from tests.algorithms.training import trained
from tests.evaluator import test_language as language
from tests.evaluator.processes import evaluating, judged, put
from tests.evaluator.test_shadow import SAYS_ALL, said
from tests.evaluator.world import applications, candidate, give, now_ms
from tests.online_bandit.rewards import reward
from tests.waiting import until_measured

SPREAD = 0.05
HOURS = 3_600_000
"""Windows of both applications last one."""
DEFAULT = Deployed("default")


@pytest.fixture(scope="module")
def cql(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    return trained("cql", tmp_path_factory.mktemp("candidates"))


def searches(policy: ContinuousPolicy, count: int, at: int, seed: int) -> list[dict[str, Any]]:
    """Weights around the policy's own, drawn with a density over the first six, since all add up to one."""
    ranking, random = load()["search_ranking"], np.random.default_rng(seed)
    found = []
    for n in range(count):
        record = reward(ranking, random, subject_id=f"s-{n}", action="weights", propensity=1.0)
        decision = record["decision"]
        (wanted,) = policy.action(np.array([decision["context"]], np.float32))
        apart = SPREAD * random.standard_normal(6)
        weights = wanted + np.append(apart, -apart.sum())
        density = np.exp(-0.5 * ((apart / SPREAD) ** 2).sum()) / (SPREAD * np.sqrt(2 * np.pi)) ** 6
        told = dict(zip(NAMES, weights.tolist(), strict=True)) | {"density": float(density)}
        decision["attributes"] = [{"name": k, "number": v, "text": None} for k, v in told.items()]
        earned = float(1 - 50 * (apart @ apart) + random.standard_normal())
        found.append({**record, "reward": earned, "decision_time": at + n, "reward_time": at + 2 * HOURS})
    return found


def log_of(policy: ContinuousPolicy, found: list[dict[str, Any]]) -> VectorLog:
    """In the order of decisions, as the evaluator has it."""
    ordered = sorted(found, key=lambda each: (each["decision_time"], each["decision"]["decision_id"]))
    numbers = [{a["name"]: a["number"] for a in each["decision"]["attributes"]} for each in ordered]
    contexts = np.array([each["decision"]["context"] for each in ordered], np.float32)
    return VectorLog(
        contexts.astype(np.float64),
        np.array([[each[name] for name in NAMES] for each in numbers]),
        policy.action(contexts),
        np.array([each["reward"] for each in ordered]),
        np.array([each["density"] for each in numbers]),
    )


async def test_what_gives_vectors_is_followed_by_logged_densities_also_after_a_kill(
    topics: BrokerSettings, tmp_path: Path, cql: Artefact
) -> None:
    applications(tmp_path / "applications")
    policy = load_policy(cql.folder, cql.id)
    assert isinstance(policy, ContinuousPolicy)
    earlier = searches(policy, 300, now_ms() - 5 * HOURS, seed=1)
    await give(topics, earlier)
    begins = now_ms() + 1
    first, second = (searches(policy, 200, begins + 1000 * n, seed=n) for n in (2, 3))
    async with evaluating(topics, tmp_path, **SAYS_ALL) as (process, _):
        await put(topics, "candidates", candidate(cql, started_at=begins))
        await give(topics, first)
        await said(topics, 200)
        process.kill()
    await give(topics, second)
    async with evaluating(topics, tmp_path, **SAYS_ALL) as (_, http):
        found = await said(topics, 400)
        labels = f'application="search_ranking",candidate="{cql.id}"'
        await until_measured(http, f"shadow_difference{{{labels}}}")
    reference, log = Reference.fit(log_of(policy, earlier)), log_of(policy, [*first, *second])
    (weight, wide), predicted = reference.weights(log), reference.predicted(log)
    each = predicted.target + (2 * weight - wide) * (log.reward - predicted.logged)
    (metric,) = found.metrics
    assert metric.estimator == "dr-logged-density"
    assert metric.value == pytest.approx(each.mean(), rel=1e-9)
    assert metric.baseline == pytest.approx(log.reward.mean(), rel=1e-9)
    assert found.effective_sample_size == pytest.approx(weight.sum() ** 2 / (weight @ weight), rel=1e-9)
    assert found.max_weight == pytest.approx(weight.max(), rel=1e-9)


async def test_vectors_without_any_earlier_density_are_refused(
    topics: BrokerSettings, tmp_path: Path, cql: Artefact
) -> None:
    applications(tmp_path / "applications")
    async with evaluating(topics, tmp_path, **SAYS_ALL) as (_, http):
        await put(topics, "candidates", candidate(cql))
        (found,) = await judged(topics, 1, "shadow")
        labels = f'application="search_ranking",candidate="{cql.id}",verdict="refused"'
        await until_measured(http, f"shadow_verdict{{{labels}}} 1.0")
    assert (found.verdict, found.decisions, found.reasons[0].name) == ("refused", 0, "no-density")
    assert "0 vectors with a density were rewarded before its training" in found.reasons[0].detail


def answers(count: int, at: int, ids: Iterator[int], arms: Mapping[str, tuple[str, float]]) -> list[Any]:
    """Decisions of the assistant: an arm's policy and share; the canary's answers are liked more often."""
    assistant, random, found = load()["assistant"], np.random.default_rng(count), []
    names = list(arms)
    for n in range(count):
        arm = str(random.choice(names, p=[share for _, share in arms.values()]))
        policy, share = arms[arm]
        of = {"arm": arm, "share": share} if len(arms) > 1 else {}
        liked = float(random.random() < (0.8 if arm == "canary" else 0.3))
        found.append(
            reward(
                assistant,
                random,
                **of,
                subject_id=f"s-{next(ids)}",
                policy=policy,
                reward=liked,
                decision_time=at + n,
                reward_time=at + 2 * HOURS,
            )
        )
    return found


async def test_a_language_model_is_refused_until_its_own_rollout_shows_how_it_does(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    applications(tmp_path / "applications")
    made = language.artefact(tmp_path / "made", "ppo", language.answered(), language.scored())
    begins, ids = now_ms(), itertools.count()
    alone = answers(150, begins, ids, {"stable": ("default", 1.0)})
    async with evaluating(topics, tmp_path, **SAYS_ALL):
        await put(topics, "candidates", candidate(made, started_at=begins))
        await give(topics, alone)
        (refused,) = await judged(topics, 1, "shadow")
        since = begins + 1_000
        rolled = Deployed(made.id, "ppo", str(made.folder), made.id)
        await put(topics, "deployments", Deployment("assistant", 1, since, DEFAULT, rolled, 0.5))
        both = answers(400, since, ids, {"stable": ("default", 0.5), "canary": (made.id, 0.5)})
        await give(topics, both)
        found = await said(topics, 400)
    assert (refused.verdict, refused.decisions, refused.metrics) == ("refused", 0, ())
    assert (refused.reasons[0].name, refused.reasons[0].value) == ("missing-support", 150)
    own = [each["reward"] for each in both if each["decision"]["arm"] == "canary"]
    (metric,) = found.metrics
    assert found.verdict == "pass"
    assert metric.value == pytest.approx(np.mean(own))
    assert metric.baseline == pytest.approx(np.mean([each["reward"] for each in both]))
