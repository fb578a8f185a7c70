"""Variants on users who come often: never called different for no reason, and soon for a good one."""

import numpy as np
import pytest

from shared.core.estimators.confidence_sequences import asymptotic_half_width
from shared.core.experiments.comparing import EVERYWHERE, always_valid_p_value, standings
from shared.core.rollout.arms import BUCKETS, Arm

SHARES = {"base": 0.4, "tuned": 0.3, "careful": 0.3}
LOOKS = 40


def play(
    random: np.random.Generator, effects: dict[str, float], users: int = 4_000, visits: int = 4
) -> list[dict[str, str]]:
    """Verdicts at each of LOOKS looks while users come: each has a taste of its own, and comes often."""
    names = list(SHARES)
    variant = random.choice(len(names), users, p=list(SHARES.values()))
    taste, group = random.normal(0, 0.5, users), random.integers(BUCKETS, size=users)
    arms = {name: Arm(1) for name in names}
    found = []
    for come in np.array_split(random.integers(users, size=users * visits), LOOKS):
        for n, name in enumerate(names):
            mine = come[variant[come] == n]
            values = taste[mine] + effects.get(name, 0.0) + random.normal(0, 0.5, len(mine))
            arms[name].add_all(group[mine], values[:, None])
        told = standings(arms, SHARES, "base", metric=0, alpha=0.05, tuned_at=4_000)
        found.append({name: each.verdict for name, each in told.items()})
    return found


def test_looking_always_calls_equal_variants_different_at_most_as_often_as_promised() -> None:
    random = np.random.default_rng(1)
    wrong = sum(
        any({"better", "worse"} & set(look.values()) for look in play(random, {}, 1_000, 3))
        for _ in range(200)
    )
    assert wrong <= 0.05 * 200 + 2 * (0.05 * 0.95 * 200) ** 0.5


def test_a_better_and_a_worse_variant_are_found() -> None:
    looks = play(np.random.default_rng(2), {"tuned": 0.25, "careful": -0.25})
    assert looks[-1] == {"base": "control", "tuned": "better", "careful": "worse"}


def test_figures_are_those_of_the_sums() -> None:
    random = np.random.default_rng(3)
    arms = {name: Arm(1) for name in SHARES}
    values = {name: random.normal(0.1, 1, 500) for name in SHARES}
    for name, each in values.items():
        arms[name].add_all(np.arange(500) % BUCKETS, each[:, None])
    told = standings(arms, SHARES, "base", metric=0, alpha=0.05, tuned_at=500)
    one, base = told["tuned"], told["base"]
    assert one.decisions == one.groups == 500
    assert one.mean == pytest.approx(values["tuned"].mean())
    # Every user came once: the variance over groups is the sample's.
    half = asymptotic_half_width(values["tuned"].var(ddof=1), 500, 0.05, 500)
    assert one.interval.high - one.interval.low == pytest.approx(2 * half, rel=1e-3)
    assert base.difference is None
    assert one.difference is not None
    assert one.difference.value == pytest.approx(values["tuned"].mean() - values["base"].mean())


def test_the_p_value_is_the_level_at_which_the_interval_ends_at_nothing() -> None:
    for difference in (0.05, 0.1, 0.2):
        p_value = always_valid_p_value(difference, 1.0, 2_000, 0.05, 1_000)
        narrow = asymptotic_half_width(1.0, 2_000, 0.05, 1_000)
        assert (p_value < 0.05) == (difference > narrow)
    assert always_valid_p_value(0.0, 1.0, 2_000, 0.05, 1_000) == 1
    assert always_valid_p_value(1.0, 1.0, 0, 0.05, 1_000) == 1


def test_few_users_decide_nothing_and_wrong_shares_are_told() -> None:
    arms = {name: Arm(1) for name in SHARES}
    for n in range(20):
        arms["base"].add(n, [0.0])
        arms["tuned"].add(n, [1.0])
    told = standings(arms, SHARES, "base", metric=0, alpha=0.05, tuned_at=100)
    assert (told["tuned"].verdict, told["tuned"].interval) == ("undecided", EVERYWHERE)
    assert (told["careful"].decisions, told["careful"].mean) == (0, None)
    for n in range(3_000):
        arms["base" if n % 10 else "tuned"].add(n, [0.0])
        arms["careful"].add(n, [0.0])
    told = standings(arms, SHARES, "base", metric=0, alpha=0.05, tuned_at=100)
    assert told["tuned"].verdict == "mismatch"
