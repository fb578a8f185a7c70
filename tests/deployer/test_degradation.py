"""People are told when what is stable earns less than when it became stable, and of nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.deployer.book import Book, document, read
from services.deployer.standing import moved, stood
from services.deployer.stepping import Rules
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.core.rollout.arms import Arm, Mean
from shared.core.rollout.degradation import Tolerated, fall
from shared.core.rollout.facts import State
from tests.broker.reading import read_all
from tests.deployer.auditing import check
from tests.deployer.processes import applications, audit, deploying, deployments, happened, now
from tests.deployer.test_handlers import RULES
from tests.online_bandit.rewards import append, raw, reward
from tests.waiting import until, until_measured

WINDOW = 1_000
TOLD = Tolerated(tolerance=0.1, window_ms=WINDOW, samples=200, alpha=0.05)
RULED = replace(RULES, tolerated=TOLD)


def mean(value: float, count: float = 1_000, deviation: float = 0.3) -> Mean:
    return Mean(value, deviation**2 / count, count, 500)


def windows(*means: Mean | None, rules: Rules = RULED, book: Book | None = None) -> tuple[Book, list[str]]:
    """Look twice in each window, in its middle and at its end; the book, and what people were told."""
    book, told, at = book or Book("shop", State("main", "main")), [], 0
    book = stood(book, None, at, rules).book
    for each in means:
        for _ in range(2):
            at += WINDOW // 2
            change = stood(book, each, at, rules)
            book = read(document(change.book))
            told += [event.what for event in change.events]
            if change.book.standing and change.book.standing.worse:  # a look later the window is over
                change = stood(book, each, at, rules)
                book = change.book
                told += [event.what for event in change.events]
    return book, told


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ([mean(0.5), mean(0.5), mean(0.47)], []),
        ([mean(0.5), mean(0.3)], ["degraded"]),
        ([mean(0.5), mean(0.3), mean(0.3), mean(0.3)], ["degraded"]),
        ([mean(0.5), mean(0.3), mean(0.5), mean(0.5)], ["degraded", "recovered"]),
        ([mean(0.5), mean(0.3), mean(0.5), mean(0.3)], ["degraded", "recovered", "degraded"]),
        ([mean(-0.5), mean(-0.52), mean(-0.8)], ["degraded"]),
        ([mean(0.5), mean(0.3, count=100)], []),
        ([mean(0.5), replace(mean(0.3), groups=5)], []),
        ([mean(0.5), replace(mean(0.3), variance=float("inf"))], []),
        ([mean(0.5, count=100), mean(0.3), mean(0.3)], []),
        ([mean(0.5), None, mean(0.3)], ["degraded"]),
    ],
)
def test_windows_are_compared_with_the_first_that_said_something(
    means: list[Mean | None], told: list[str]
) -> None:
    assert windows(*means)[1] == told


def test_it_says_what_it_earns_and_earned() -> None:
    book, _ = windows(mean(0.5), mean(0.5))
    change = stood(book, mean(0.3), 2_100, RULED)
    (event,) = change.events
    assert (event.what, event.policy, event.by, event.sequence) == ("degraded", "main", "guard", 0)
    assert event.cause.startswith("mean reward 0.3 over 1000 decisions, 0.5 when it became stable; below")
    assert event.numbers["reference"] == 0.5
    assert change.book.state == book.state


def test_another_stable_policy_is_compared_with_itself() -> None:
    book, _ = windows(mean(0.5), mean(0.5))
    other = replace(book, state=State("main", "better"))
    after = stood(other, mean(0.1), 5_000, RULED)
    assert after.events == ()
    assert after.book.standing is not None
    assert (after.book.standing.policy, after.book.standing.reference) == ("better", None)
    assert moved(book.standing, after.book.standing)
    assert windows(mean(0.1), mean(0.1), book=after.book)[1] == []


def test_where_nobody_wants_to_be_told_nothing_is_looked_at() -> None:
    book, _ = windows(mean(0.5))
    assert stood(book, mean(0.1), 5_000, RULES).book.standing is None
    assert windows(mean(0.5), mean(0.1), rules=RULES) == (Book("shop", State("main", "main")), [])


def test_what_has_not_fallen_is_rarely_told_however_long_and_often_one_looks() -> None:
    """400 policies, 20 windows of 2,000 rewards each at what is just tolerated, looked at 20 times."""
    random, alarms = np.random.default_rng(7), 0
    for _ in range(400):
        first = _arm(random, 0.5, 2_000).mean(0)
        assert first is not None
        alarms += any(_falls(random, first, number, 0.45) for number in range(1, 21))
    assert alarms / 400 <= TOLD.alpha


def test_a_planted_fall_is_found_in_a_late_window_of_few_rewards() -> None:
    random = np.random.default_rng(8)
    found = 0
    for _ in range(40):
        first = _arm(random, 0.5, 2_000).mean(0)
        assert first is not None
        found += _falls(random, first, 365, 0.35)
    assert found == 40


def _arm(random: np.random.Generator, value: float, number: int) -> Arm:
    arm = Arm(1)
    arm.add_all(random.integers(0, 4096, number), random.normal(value, 0.3, (number, 1)))
    return arm


def _falls(random: np.random.Generator, first: Mean, number: int, value: float) -> bool:
    arm = Arm(1)
    for _ in range(20):
        arm.add_all(random.integers(0, 4096, 100), random.normal(value, 0.3, (100, 1)))
        seen = arm.mean(0)
        if seen is not None and seen.count >= TOLD.samples and fall(first, seen, number, TOLD).high < 0:
            return True
    return False


def test_the_entertainment_recommender_asks_for_it_and_others_need_not() -> None:
    settings = {name: each.settings.rollout.degradation for name, each in load().items()}
    told = settings.pop("entertainment")
    assert told is not None
    assert (told.tolerance, told.samples, told.window.total_seconds()) == (0.1, 1_000, 86_400)
    assert set(settings.values()) == {None}


async def test_a_stable_policy_that_degrades_is_told_of_once(topics: BrokerSettings, tmp_path: Path) -> None:
    wanted = "rollout:\n  degradation: {tolerance: 0.1, window: 1s, samples: 200}\n"
    folder = tmp_path / "applications"
    shop = applications(folder, {"rollout:\n": wanted})["shop"]
    random, told = np.random.default_rng(3), 0

    async def earn(value: float) -> None:
        """400 decisions of whoever is stable."""
        nonlocal told
        made = [
            raw(
                reward(
                    shop,
                    random,
                    subject_id=f"s-{told}-{n}",
                    policy="default@0123456789abcdef",
                    reward=float(random.normal(value, 0.1)),
                    decided_at=now(),
                    decision_time=now(),
                )
            )
            for n in range(400)
        ]
        told += 1
        await append(topics, {partition: made[partition::4] for partition in range(4)})

    async def standing() -> dict[str, object]:
        """The window under way, as the deployer noted it."""
        found = [each.state.get("standing") for each in await deployments(topics)]
        return dict(found[-1] or {}) if found else {}

    async def until_window(number: int, value: float) -> None:
        """Earn until it is under way."""
        while (await standing()).get("number", -1) < number:  # type: ignore[operator]
            await earn(value)

    async with deploying(topics, tmp_path) as (process, http):
        await until(standing)
        await until_window(2, 0.5)
        process.kill()
    async with deploying(topics, tmp_path) as (_, http):  # a successor knows what was earned at first
        await until_window(3, 0.5)
        assert await audit(topics) == []
        while not await audit(topics):
            await earn(0.3)
        await until_measured(http, 'streamwheel_reward_degraded{application="shop"} 1.0')
        until_then = int((await standing())["number"])  # type: ignore[call-overload]
        await until_window(until_then + 2, 0.3)
        await until_window(until_then + 4, 0.5)
        events = await happened(topics, "recovered")
        await until_measured(http, 'streamwheel_reward_degraded{application="shop"} 0.0')
    assert [(each.what, each.policy, each.by) for each in events] == [
        ("degraded", "default", "guard"),
        ("recovered", "default", "guard"),
    ]
    assert events[0].numbers["reward"] < 0.45 < events[0].numbers["reference"]
    check(events, await deployments(topics), [0.0, 0.1, 0.5, 1.0, 1.0])
    assert len(await read_all(topics, topics.topic("deployments"), partitions=1)) < 40
