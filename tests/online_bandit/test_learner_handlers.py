"""Reward records to rows: the right columns in the right places, and every unusable record told apart."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.online_bandit.learner.handlers import CLOCK_SKEW_MS, LARGEST_REWARD, Reader
from shared.applications.contract import Application
from shared.applications.registry import load
from tests.online_bandit.rewards import DECIDED, Raw, raw, reward
from tests.online_bandit.shop import write_applications

NAN = float("nan")


@dataclass
class Fetched:
    """Records as a fetch brings them."""

    values: list[Raw]
    keys: list[Raw] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.offsets = np.arange(len(self.values)) * 2 + 100
        self.timestamps = np.full(len(self.values), DECIDED + 1_000_000)
        self.next_offset = int(self.offsets[-1]) + 1


@pytest.fixture
def applications(tmp_path: Path) -> dict[str, Application]:
    return load([write_applications(tmp_path / "applications")])


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def test_rows_are_sorted_by_application_and_keep_the_order_and_offsets_of_the_log(
    applications: dict[str, Application], random: np.random.Generator
) -> None:
    shop, ranking = applications["shop"], applications["ranking"]
    records = [reward(shop if n % 3 else ranking, random) for n in range(30)]
    lessons = Reader(applications).read(Fetched([raw(record) for record in records]))
    assert lessons.dead == []
    assert lessons.rows.keys() == {"shop", "ranking"}
    rows, offsets = lessons.rows["shop"]
    mine = [n for n in range(30) if n % 3]
    assert offsets.tolist() == [100 + 2 * n for n in mine]
    assert rows.contexts.tolist() == [records[n]["decision"]["context"] for n in mine]
    assert rows.actions.tolist() == [shop.actions.index(records[n]["decision"]["action"]) for n in mine]
    assert rows.rewards.tolist() == [records[n]["reward"] for n in mine]
    assert rows.times.tolist() == [records[n]["decision_time"] for n in mine]
    assert rows.fresh.all()


def test_a_correction_counts_by_its_difference_and_is_not_fresh(
    applications: dict[str, Application], random: np.random.Generator
) -> None:
    record = reward(applications["shop"], random, reward=1.0, previous_reward=0.25, revision=2)
    rows, _ = Reader(applications).read(Fetched([raw(record)])).rows["shop"]
    assert (rows.rewards.tolist(), rows.fresh.tolist()) == ([0.75], [0])


def test_an_action_s_features_follow_the_context_wherever_it_stands_in_the_list(
    applications: dict[str, Application], random: np.random.Generator
) -> None:
    features = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    records = [
        reward(
            applications["ranking"],
            random,
            context=[9.0],
            actions=["a", "b", "c"][:offered],
            action=action,
            action_features=[number for pair in features[:offered] for number in pair],
        )
        for action, offered in (("c", 3), ("a", 1), ("b", 2), ("a", 3))
    ]
    rows, _ = Reader(applications).read(Fetched([raw(record) for record in records])).rows["ranking"]
    assert rows.contexts.tolist() == [[9, 5, 6], [9, 1, 2], [9, 3, 4], [9, 1, 2]]
    assert rows.actions.tolist() == [0, 0, 0, 0]


POISON: dict[str, tuple[str, str, dict[str, Any]]] = {
    "another application": ("unknown-application", "shop", {"application": "shoe"}),
    "no such action": ("unknown-action", "shop", {"action": "bannner"}),
    "too few features": ("context-width", "shop", {"context": [1.0, 2.0]}),
    "too many features": ("context-width", "shop", {"context": [1.0] * 4}),
    "a context that is NaN": ("context-not-finite", "shop", {"context": [1.0, NAN, 0.0]}),
    "a context that is infinite": ("context-not-finite", "shop", {"context": [1.0, 0.0, -np.inf]}),
    "a reward that is NaN": ("reward-not-finite", "shop", {"reward": NAN}),
    "a reward that was infinite": ("reward-not-finite", "shop", {"previous_reward": np.inf}),
    "a reward beyond all others": ("reward-too-large", "shop", {"reward": -2 * LARGEST_REWARD}),
    "a time to come": ("decision-time", "shop", {"decision_time": DECIDED + 1_000_001 + CLOCK_SKEW_MS}),
    "a time before 1970": ("decision-time", "shop", {"decision_time": -1}),
    "an action that was not offered": ("unknown-action", "ranking", {"action": "item-9"}),
    "nothing offered": ("unknown-action", "ranking", {"actions": [], "action_features": []}),
    "features of one action only": (
        "action-features-width",
        "ranking",
        {"actions": ["a", "b"], "action": "a", "action_features": [1.0, 2.0]},
    ),
    "features that are NaN": (
        "context-not-finite",
        "ranking",
        {"actions": ["a"], "action": "a", "action_features": [1.0, NAN]},
    ),
}


@pytest.mark.parametrize("fault", POISON)
def test_a_record_that_cannot_be_learnt_is_told_apart_and_its_neighbours_are_learnt(
    fault: str, applications: dict[str, Application], random: np.random.Generator
) -> None:
    reason, name, changes = POISON[fault]
    good = [reward(applications[n], random) for n in ("shop", "ranking", "shop", "ranking")]
    values = [raw(record) for record in good]
    values.insert(2, raw(reward(applications[name], random, **changes)))
    lessons = Reader(applications).read(Fetched(values))
    assert [(index, why) for index, why, _ in lessons.dead] == [(2, reason)]
    assert [offsets.tolist() for _, (_, offsets) in sorted(lessons.rows.items())] == [[102, 108], [100, 106]]
    assert all(np.isfinite(rows.contexts).all() for rows, _ in lessons.rows.values())


def test_rewards_of_vectors_are_passed_over_not_dead() -> None:
    ranking = load()["search_ranking"]
    assert ranking.vector_action is not None
    random = np.random.default_rng(7)
    names = ["even", ranking.vector_action.name, "brand"]
    records = [reward(ranking, random, action=name) for name in names]
    lessons = Reader({ranking.name: ranking}).read(Fetched([raw(record) for record in records]))
    assert (lessons.dead, lessons.passed_over) == ([], 1)
    rows, offsets = lessons.rows["search_ranking"]
    assert rows.actions.tolist() == [ranking.actions.index("even"), ranking.actions.index("brand")]
    assert offsets.tolist() == [100, 104]


def test_bytes_that_are_no_record_keep_the_reason_of_the_wire(
    applications: dict[str, Application], random: np.random.Generator
) -> None:
    good = raw(reward(applications["shop"], random))
    lessons = Reader(applications).read(Fetched([None, good, b"garbage", good[:-1]]))
    assert [(index, why) for index, why, _ in lessons.dead] == [
        (0, "null-value"),
        (2, "bad-marker"),
        (3, "truncated"),
    ]
    assert lessons.rows["shop"][1].tolist() == [102]


def test_what_is_wrong_in_two_ways_is_one_dead_letter(
    applications: dict[str, Application], random: np.random.Generator
) -> None:
    record = reward(applications["shop"], random, action="?", context=[NAN], reward=NAN)
    assert len(Reader(applications).read(Fetched([raw(record)])).dead) == 1


def test_nothing_to_read_teaches_nothing(applications: dict[str, Application]) -> None:
    lessons = Reader(applications).read(Fetched([None]))
    assert lessons.rows == {}
