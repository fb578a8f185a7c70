"""Searches by six kinds of users, each best served by weights of its own, which are known."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from shared.applications.contract import Numbers
from shared.applications.search_ranking.reward import (
    NOTHING,
    VALUES,
    price_multiplier,
    rank_weight,
)
from shared.applications.search_ranking.users import KINDS, context
from shared.applications.search_ranking.weights import HIGHEST, NAMES, Presets, normalised, read_presets
from shared.applications.simulation import OneStep, Situation, Told

SITUATIONS = 120
"""States that occur; as many of each kind of user."""
RANKS = 10
PRICES = (50.0, 150.0, 400.0, 900.0)
"""Each as likely as the others, at every rank."""
PURCHASE, CART, CLICK = (0.05, 0.45), 0.10, 0.20
"""Probabilities: of a purchase at the worst ranking and at the best, of a cart, of a click; else nothing."""
DECLINE = (0.9, 0.3)
"""By how much each rank is less likely than the one before, at the worst ranking and at the best."""
NOISE = 0.3
"""Standard deviation of logged raw weights around a preset's."""

#: States of n searches to raw or normalised weights, (n, 7).
WeightPolicy = Callable[[list[Situation]], Numbers]


class SearchSimulator(OneStep):
    """The quality of a ranking is (1 - d)^2, d being half the sum of the differences between its weights and
    those that suit the user's kind; it makes purchases more likely, and acted ranks higher."""

    application = "search_ranking"

    def __init__(self, presets: Presets, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.presets = presets
        self.actions = list(presets.presets)
        self.best_weights = normalised([kind.weights for kind in KINDS])
        self.situations = [
            Situation("", context(KINDS[n % len(KINDS)], random), n % len(KINDS)) for n in range(SITUATIONS)
        ]

    def quality(self, situation: Situation, weights: Numbers) -> float:
        """From 0 to 1, for weights that sum to 1."""
        distance = np.abs(weights - self.best_weights[situation.truth]).sum() / 2
        return float((1 - distance) ** 2)

    def reward_of(self, situation: Situation, raw: Numbers) -> float:
        """Mean reward of raw weights."""
        outcomes, ranks = _chances(self.quality(situation, normalised(raw)))
        seen = float(ranks @ rank_weight(np.arange(1.0, RANKS + 1)))
        price = float(price_multiplier(np.array(PRICES)).mean())
        worth = {"purchase": VALUES["purchase"] * price * seen, "none": NOTHING}
        return sum(
            chance * worth.get(kind, VALUES.get(kind, 0.0) * seen) for kind, chance in outcomes.items()
        )

    def expected_reward(self, situation: Situation, action: str) -> float:
        """Mean reward of a preset."""
        return self.reward_of(situation, np.array(self.presets.presets[action]))

    def mean_reward_of_weights(self, policy: WeightPolicy) -> float:
        """Mean over all situations of a policy of continuous actions."""
        chosen = policy(self.situations)
        return float(
            np.mean([self.reward_of(s, raw) for s, raw in zip(self.situations, chosen, strict=True)])
        )

    def best_mean_reward_of_weights(self) -> float:
        """The highest `mean_reward_of_weights`: of the weights that suit each kind."""
        return self.mean_reward_of_weights(lambda all_: self.best_weights[[s.truth for s in all_]])

    def interactions(self, situation: Situation, action: str, random: np.random.Generator) -> list[Told]:
        """One outcome."""
        kind, rank, prices = self.outcome(situation, np.array(self.presets.presets[action]), random)
        if kind == "none":
            return [{"type": kind}]
        return [{"type": kind, "attributes": {"rank": rank, "price": prices[rank - 1]}}]

    def outcome(
        self, situation: Situation, raw: Numbers, random: np.random.Generator
    ) -> tuple[str, int, list[float]]:
        """What was done, at which rank, and the prices of all ranks."""
        outcomes, ranks = _chances(self.quality(situation, normalised(raw)))
        kind = str(random.choice(list(outcomes), p=list(outcomes.values())))
        rank = 1 + int(random.choice(RANKS, p=ranks))
        return kind, rank, random.choice(PRICES, RANKS).tolist()

    def logged_weights(self, n: int, random: np.random.Generator) -> Numbers:
        """Raw weights of the logging policy, (n, 7): any preset, and noise, within 0 and 2."""
        presets = np.array(list(self.presets.presets.values()))
        chosen = presets[random.integers(len(presets), size=n)]
        return np.clip(chosen + NOISE * random.standard_normal((n, len(NAMES))), 0, HIGHEST)

    def logs(
        self,
        n: int,
        random: np.random.Generator,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    ) -> Iterator[dict[str, Any]]:
        """n lines of the search log, one a minute."""
        for number, raw in enumerate(self.logged_weights(n, random)):
            situation = self.start(random)
            kind, rank, prices = self.outcome(situation, raw, random)
            ranking = [f"product-{place}" for place in random.permutation(RANKS)]
            bought = kind == "purchase"
            yield {
                "log_id": f"log-{number}",
                "created_at": (start + timedelta(minutes=number)).isoformat(),
                "state": situation.context,
                "action": raw.tolist(),
                "ranking": ranking,
                "ranking_metadata": [
                    {"product_id": product, "price": price, "category": "any"}
                    for product, price in zip(ranking, prices, strict=True)
                ],
                "outcomes": {
                    "user_action": kind,
                    "purchased_ranks": [] if kind == "none" else [rank],
                    "purchased_total_value": prices[rank - 1] if bought else 0.0,
                },
                "reward": None,
            }


def _chances(quality: float) -> tuple[dict[str, float], Numbers]:
    """Probabilities of what is done, and of the rank it is done at."""
    purchase = PURCHASE[0] + (PURCHASE[1] - PURCHASE[0]) * quality
    outcomes = {"purchase": purchase, "cart": CART, "click": CLICK, "none": 1 - purchase - CART - CLICK}
    ranks = (DECLINE[0] + (DECLINE[1] - DECLINE[0]) * quality) ** np.arange(RANKS)
    return outcomes, ranks / ranks.sum()


def simulator(seed: int) -> SearchSimulator:
    """Searches with the presets of presets.yaml."""
    return SearchSimulator(read_presets(), seed)
