"""The metrics of the voice assistant's dashboards: on a running loop they are what the topics hold."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from shared.applications.registry import load
from shared.applications.simulation import load_simulator
from shared.applications.voice_assistant.dashboards import (
    PROFILES,
    RATING_BUCKETS,
    REWARD_BUCKETS,
    PolicyMetrics,
)
from shared.applications.voice_assistant.guard import VariantGuard
from shared.broker.settings import BrokerSettings
from shared.cli.running import running
from shared.wire.codec import decode
from shared.wire.schemas import schema
from tests.broker.reading import read_all
from tests.waiting import wait_for

NAME = "voice_assistant"
VARIANTS = load()[NAME].actions
CALLS = 120
FEEDBACK = CALLS * 5 // 3
"""Events of it: each call's signals, and two of three ratings."""
Samples = dict[tuple[str, ...], float]


def scraped(url: str) -> dict[str, Samples]:
    """Name → (values of the labels in the order of their names) → value, of the names that begin with rl_."""
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=20).text):
        for sample in family.samples:
            if sample.name.startswith("rl_") and not sample.name.endswith("_created"):
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
    return found


def nonzero(samples: Samples) -> Samples:
    return {labels: value for labels, value in samples.items() if value}


def records(settings: BrokerSettings, topic: str) -> list[dict[str, Any]]:
    found = asyncio.run(read_all(settings, settings.topic(topic)))
    return [decode(schema(topic), record.value) for record in found]


def labelled(decision: dict[str, Any]) -> tuple[str, str]:
    """(profile, variant)."""
    [profile] = [each["text"] for each in decision["attributes"] if each["name"] == "profile"]
    return profile, decision["action"]


def buckets(values: list[tuple[tuple[str, str], float]], limits: tuple[float, ...]) -> Samples:
    """A histogram's cumulative counts, those above zero."""
    found: Counter[tuple[str, ...]] = Counter()
    for (profile, variant), value in values:
        for limit in (*limits, float("inf")):
            text = "+Inf" if limit == float("inf") else str(limit)
            found[text, profile, variant] += value <= limit
    return {labels: float(count) for labels, count in found.items() if count}


def answers(url: str) -> bool:
    """Whether the service runs, and has no feedback counted yet."""
    try:
        return not any(scraped(url).get("rl_feedback_total", {"": 1.0}).values())
    except httpx.TransportError:
        return False


def counted(calculator: str) -> float:
    """Feedback counted by this process."""
    return sum(scraped(calculator)["rl_feedback_total"].values())


def learnt(decisions: str) -> int:
    """Reward records that the served policy has learnt."""
    return int(httpx.get(f"{decisions}/v1/policies/{NAME}", timeout=20).json()["rewards_learnt"])


class Line:
    """Callers, who ask for decisions and give feedback, in the second try for those who missed the reply."""

    def __init__(self, decisions: str, collector: str) -> None:
        self.decisions, self.collector = decisions, collector
        self.simulator, self.random = load_simulator(NAME), np.random.default_rng(0)

    def calls(self, prefix: str) -> None:
        """So many calls; two of three callers rate them later."""
        situations = [self.simulator.start(self.random) for _ in range(CALLS)]
        body = [
            {
                "application": NAME,
                "subject_id": each.subject_id,
                "decision_id": f"{prefix}-{n}",
                "context": each.context,
            }
            for n, each in enumerate(situations)
        ]
        made = self.post(f"{self.decisions}/v1/decisions/batch", {"decisions": body})["decisions"]
        told: list[dict[str, Any]] = []
        for n, (situation, decision) in enumerate(zip(situations, made, strict=True)):
            [said] = self.simulator.follow(situation, decision["action"], self.random)[0]
            signals = dict(said["attributes"])
            rating = {"user_rating": signals.pop("user_rating")}
            event = {"decision_id": decision["decision_id"], "application": NAME, "type": "feedback"}
            told.append({**event, "interaction_id": "call", "attributes": signals})
            if n % 3:
                told.append({**event, "interaction_id": "stars", "attributes": rating})
        for _ in range(2):
            self.post(f"{self.collector}/v1/interactions", {"interactions": told})

    def post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = httpx.post(url, json=body, timeout=20)
        assert reply.is_success, reply.text
        found: dict[str, Any] = reply.json()
        return found


def test_a_dashboard_reads_what_the_topics_hold(tmp_path: Path) -> None:
    with running(tmp_path) as addresses:
        calculator, decisions = addresses.url("reward-calculator"), addresses.url("decisions")
        line, settings = Line(decisions, addresses.url("collector")), addresses.broker_settings
        started, fresh = scraped(calculator), scraped(decisions)
        line.calls("first")
        wait_for(lambda: counted(calculator) >= FEEDBACK)
        before = scraped(calculator)
        os.kill(int((tmp_path / "run" / "reward-calculator.pid").read_text()), signal.SIGKILL)
        wait_for(lambda: answers(calculator))
        line.calls("second")
        wait_for(lambda: counted(calculator) >= FEEDBACK)
        after = scraped(calculator)
        rewards = records(settings, "rewards")
        wait_for(lambda: learnt(decisions) == len(rewards))
        served = scraped(decisions)
        policy = httpx.get(f"{decisions}/v1/policies/{NAME}", timeout=20).json()
        told = {
            (each["decision_id"], each["interaction_id"]): each for each in records(settings, "interactions")
        }

    # A series for every variant and profile is there before its first event.
    assert len(started["rl_feedback_total"]) == len(VARIANTS) * len(PROFILES)
    assert not any(started["rl_policy_pulls_total"].values())
    for found, prefix in ((before, "first"), (after, "second")):
        # The second process begins at 0, and counts nothing of the first one's.
        assert_counts(found, prefix, rewards, told)
    means = dict(zip(VARIANTS, policy["mean_rewards"], strict=True))
    assert served["rl_policy_success_rate"] == {
        (name,): (mean + 1) / 2 for name, mean in means.items() if mean is not None
    }
    assert (fresh["rl_active_variants_total"][()], fresh["rl_blacklisted_variants_total"][()]) == (5, 0)
    assert 1 <= served["rl_active_variants_total"][()] <= 5
    assert 0 < served["rl_bandit_exploration_rate"][()] < 1
    # Who does not know the policy does not claim to.
    assert "rl_active_variants_total" not in after
    assert "rl_feedback_total" not in served


def assert_counts(
    found: dict[str, Samples],
    prefix: str,
    rewards: list[dict[str, Any]],
    told: dict[tuple[str, str], dict[str, Any]],
) -> None:
    """What was counted of the calls with this prefix is what their topics hold."""
    mine = [each for each in rewards if each["decision"]["decision_id"].startswith(prefix)]
    labels = {each["decision"]["decision_id"]: labelled(each["decision"]) for each in mine}
    heard = {key: each for key, each in told.items() if key[0] in labels}
    assert nonzero(found["rl_feedback_total"]) == Counter(labels[call] for call, _ in heard)
    stars = [
        (labels[call], each["attributes"][0]["number"])
        for (call, kind), each in heard.items()
        if kind == "stars"
    ]
    assert len(stars) == CALLS * 2 // 3
    assert nonzero(found["rl_user_rating_distribution_bucket"]) == buckets(stars, RATING_BUCKETS)
    first = [(labelled(each["decision"]), each["reward"]) for each in mine if each["revision"] == 0]
    assert len(first) == CALLS
    assert nonzero(found["rl_policy_pulls_total"]) == Counter(where for where, _ in first)
    assert nonzero(found["rl_reward_distribution_bucket"]) == buckets(first, REWARD_BUCKETS)


def test_blacklisted_and_active_variants_are_those_of_the_guard() -> None:
    registry = CollectorRegistry()
    metrics = PolicyMetrics(registry, VariantGuard(("v1a", "v1b", "v1c")))
    pulls, means = np.array([50.0, 30.0, 0.0]), np.array([0.2, -0.5, np.nan])
    metrics.served(pulls, means, VariantGuard(("v1a", "v1b", "v1c")).shares(pulls, means, np.full(3, 1 / 3)))
    assert registry.get_sample_value("rl_blacklisted_variants_total") == 1
    assert registry.get_sample_value("rl_active_variants_total") == 1
    assert registry.get_sample_value("rl_policy_success_rate", {"variant": "v1b"}) == 0.25
    assert registry.get_sample_value("rl_policy_success_rate", {"variant": "v1c"}) is None
    exploring = registry.get_sample_value("rl_bandit_exploration_rate")
    assert exploring is not None
    assert abs(exploring - 0.1) < 1e-9
