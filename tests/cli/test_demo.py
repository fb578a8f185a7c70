"""The demo's data, its client and its figures; and the demo itself, on fewer examples."""

import asyncio
import json
import subprocess
import sys
from random import Random
from typing import Any

import httpx
import pytest

from shared.applications.registry import load
from shared.cli.audit.findings import INVARIANTS
from shared.cli.demo import playing, posting
from shared.cli.demo.examples import Example, optdigits
from shared.cli.demo.following import Freshness, Rewarded, Rewards
from shared.cli.demo.playing import Player, decision_id
from shared.cli.demo.summary import percentile_ms

EXAMPLES = [Example({"x": float(n)}, "a") for n in range(6)]


def test_every_digit_is_a_context_of_the_application() -> None:
    application = load()["optdigits"]
    examples = optdigits(Random(1))
    assert len(examples) == 5620
    assert {example.right for example in examples} == set(application.actions)
    for example in examples[:100]:
        assert application.featurise(example.context).shape == (64,)
    assert optdigits(Random(1)) == examples
    assert optdigits(Random(2)) != examples


class Loop:
    """Both services: decides "a" for even decisions; answers `away` requests with 503 first."""

    def __init__(self, away: int = 0) -> None:
        self.away, self.interactions = away, list[str]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            self.away -= 1
            return httpx.Response(503)
        body = json.loads(request.content)
        if request.url.path == "/v1/decisions":
            if not body["context"]:
                return httpx.Response(422)
            return httpx.Response(200, json={"action": "a" if int(body["decision_id"][-1]) % 2 == 0 else "b"})
        if any(each["value"] != 1 for each in body["interactions"]):
            return httpx.Response(422)
        self.interactions += [each["decision_id"] for each in body["interactions"]]
        return httpx.Response(202)


async def played(loop: Loop) -> tuple[Player, list[str]]:
    heard: list[str] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(loop)) as client:
        player = Player("shop", client, "http://decisions", "http://collector", Random(1), heard.append)
        await player.play(EXAMPLES, 1000.0)
    return player, heard


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "LONGEST_DELAY_S", 0.01)
    monkeypatch.setattr(posting, "PAUSE_S", 0.001)


@pytest.mark.parametrize("away", [0, 5])
async def test_right_answers_are_told_and_the_journal_keeps_what_was_acknowledged(away: int) -> None:
    loop = Loop(away)
    player, heard = await played(loop)
    right = {decision_id(number) for number in (0, 2, 4)}
    assert set(loop.interactions) == set(heard) == right
    assert player.journal.decisions.acknowledged == {decision_id(number) for number in range(6)}
    assert player.journal.interactions.acknowledged == {f"{each}-right" for each in right}
    assert player.journal.decisions.refused == {"refused-0"}
    assert player.journal.interactions.refused == {"refused-0-0", "refused-0-1"}


async def test_a_service_that_stays_away_ends_the_demo() -> None:
    with pytest.raises(ExceptionGroup):
        await played(Loop(away=10_000))


async def test_freshness_is_from_the_acknowledgement_to_a_policy_that_has_learnt_it() -> None:
    rewards = Rewards(settings=None)  # type: ignore[arg-type]  nothing is read from Kafka here
    now = 10.0
    offsets = [0, 0]

    def reply(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"offsets": offsets})

    freshness = Freshness(rewards, lambda: now)
    rewards.next_offsets = {1: 8}
    rewards.arrived.extend([("d-1", Rewarded(1.0, False, 1, 7)), ("d-2", Rewarded(0.0, True, 1, 5))])

    async def ask() -> None:
        task = asyncio.create_task(freshness.follow(client, "http://decisions"))
        asked = len(seen)
        while len(seen) < asked + 2:
            await asyncio.sleep(0)
        task.cancel()

    seen: list[Any] = []

    def count(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return reply(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(count)) as client:
        freshness.acknowledged["d-1"] = 9.0
        offsets = [100, 7]
        await ask()
        assert freshness.seconds == []
        assert not freshness.caught_up()
        now, offsets = 10.5, [0, 8]
        await ask()
    assert freshness.seconds == [1.5]
    assert freshness.caught_up()


def test_percentiles_are_in_milliseconds() -> None:
    assert percentile_ms([n / 100 for n in range(101)], 50) == 500.0
    assert percentile_ms([n / 100 for n in range(101)], 95) == 950.0
    assert percentile_ms([], 50) == 0.0


def test_a_short_demo_joins_learns_and_audits() -> None:
    command = [sys.executable, "-m", "shared.cli", "demo", "--decisions", "400"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["decisions"] == found["rewards"] == 400
    assert 0 < found["defaults"] < 400
    assert found["audit"] == dict.fromkeys(INVARIANTS, "holds")
    assert 0 < found["freshness_p50_ms"] <= found["freshness_p95_ms"]
    assert found["uniform"] == 0.1
    for name in ("mean_reward_first", "mean_reward_last", "decisions_per_s"):
        assert found[name] >= 0
