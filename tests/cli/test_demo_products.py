"""Simulated products: who visits, what the trainer is asked for, what is shown; one demo from end to end."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from shared.algorithms.parameters import chosen
from shared.algorithms.registry import for_application
from shared.applications.simulation import Situation, Told, load_simulator, simulated
from shared.cli.audit.findings import HOLDS, INVARIANTS
from shared.cli.demo import posting
from shared.cli.demo.playing import decision_id
from shared.cli.demo.products import PRODUCTS
from shared.cli.demo.summary import Summary
from shared.cli.demo.training import shown
from shared.cli.demo.visiting import Visits
from shared.wire.training import Candidate


class Guests:
    """Each guest comes twice, and likes the first action; only `step` tells the visits apart."""

    application, actions = "inn", ["a", "b"]

    def __init__(self) -> None:
        self.arrived = 0

    def start(self, random: np.random.Generator) -> Situation:
        self.arrived += 1
        return Situation(f"guest-{self.arrived}", {"room": 1})

    def follow(
        self, situation: Situation, action: str, random: np.random.Generator
    ) -> tuple[list[Told], Situation | None]:
        again = Situation(situation.subject_id, situation.context, 0, 1) if situation.step == 0 else None
        return [{"type": "like" if action == "a" else "dislike"}, {"type": "seen"}], again

    def expected_reward(self, situation: Situation, action: str) -> float:
        return 1.0 if action == "a" else -1.0

    def mean_reward(self, policy: Any) -> float:
        shares = policy(self.start(np.random.default_rng(0)))
        return float(shares[0] - shares[1])

    def optimal_mean_reward(self) -> float:
        return 1.0


class Inn:
    """Both services: decides "a" for even decisions; answers `away` requests with 503 first."""

    def __init__(self, away: int = 0) -> None:
        self.away, self.asked, self.told = away, list[dict[str, Any]](), list[dict[str, Any]]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            self.away -= 1
            return httpx.Response(503)
        body = json.loads(request.content)
        if request.url.path == "/v1/decisions/batch":
            if not all(each["context"] for each in body["decisions"]):
                return httpx.Response(422)
            self.asked += body["decisions"]
            ids = [each["decision_id"] for each in body["decisions"]]
            made = [{"decision_id": each, "action": "ab"[int(each[-1]) % 2]} for each in ids]
            return httpx.Response(200, json={"decisions": made})
        if any("value" in each for each in body["interactions"]):
            return httpx.Response(422)
        self.told += body["interactions"]
        return httpx.Response(202)


@pytest.mark.parametrize("away", [0, 3])
async def test_guests_come_back_and_the_journal_keeps_what_was_acknowledged(
    away: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "PAUSE_S", 0.001)
    inn, guests, heard = Inn(away), Guests(), list[str]()
    async with httpx.AsyncClient(transport=httpx.MockTransport(inn)) as client:
        random = np.random.default_rng(0)
        visits = Visits(guests, client, "http://decisions", "http://collector", random, heard.append)
        await visits.play(24, 10_000.0)
    ids = [decision_id(number) for number in range(24)]
    assert [each["decision_id"] for each in inn.asked] == ids
    subjects = [each["subject_id"] for each in inn.asked]
    assert subjects[:10] == subjects[10:20]
    assert (visits.decided, visits.told) == (24, 48)
    assert {each["type"] for each in inn.told if each["decision_id"] == ids[1]} == {"dislike", "seen"}
    assert set(heard) == visits.journal.decisions.acknowledged == set(ids)
    assert visits.journal.interactions.acknowledged == {each["interaction_id"] for each in inn.told}
    assert len(visits.journal.interactions.acknowledged) == 48
    assert visits.journal.decisions.refused == {"refused-0"}
    assert len(visits.journal.interactions.refused) == 2


def test_every_simulated_product_can_be_played_and_trained(tmp_path: Path) -> None:
    assert sorted(PRODUCTS) == simulated()
    for name, product in PRODUCTS.items():
        assert load_simulator(name).application == name
        for wanted in filter(None, (product.training, product.language)):
            declared = for_application(name, wanted.algorithm).declaration
            assert chosen(declared.Parameters, declared.PRESETS, "default", wanted.parameters)


def test_a_model_takes_the_place_of_the_policy_where_there_is_one_to_train(tmp_path: Path) -> None:
    wanted = PRODUCTS["dashboard_widgets"].wanted(tmp_path)
    assert (wanted.algorithm, wanted.parameters["base_model"]) == ("dpo", str(tmp_path))
    assert PRODUCTS["dashboard_widgets"].wanted(None).algorithm == "linear"
    with pytest.raises(ValueError, match="cql trains no language model"):
        PRODUCTS["search_ranking"].wanted(tmp_path)


def test_a_demo_is_sound_only_with_a_candidate() -> None:
    said = {"request_id": "r", "application": "inn", "requested_at": 0, "at": 1}
    figures = dict.fromkeys(
        ("decisions", "rewards", "defaults", "mean_reward", "mean_reward_first", "mean_reward_last"), 1
    )
    times = dict.fromkeys(("freshness_p50_ms", "freshness_p95_ms", "decisions_per_s", "seconds"), 1.0)

    def sound(**candidate: Any) -> bool:
        made = shown(Candidate(**said, **candidate))
        verdicts = {"I1": HOLDS}
        return Summary(
            "inn", **figures, **times, uniform=0.1, optimal=None, figures={}, audit=verdicts, candidate=made
        ).sound

    assert sound(status="trained", candidate_id="c")
    assert not sound(status="refused", reason="too few")
    assert not sound(status="failed", reason="prompt_search needs scikit-learn")


def test_an_unknown_product_and_a_model_for_none_are_bad_usage(tmp_path: Path) -> None:
    for arguments, words in (
        (["inn"], "there is nothing to play for 'inn'"),
        (["entertainment", "--model", str(tmp_path)], "entertainment trains no language model"),
    ):
        command = [sys.executable, "-m", "shared.cli", "demo", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert words in " ".join(done.stderr.split())


def test_a_product_is_decided_rewarded_learnt_and_trained() -> None:
    command = [sys.executable, "-m", "shared.cli", "demo", "entertainment", "--decisions", "300"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["decisions"] == found["rewards"] == found["candidate"]["rows"] == 300
    assert found["defaults"] == 0
    assert found["audit"] == dict.fromkeys(INVARIANTS, "holds")
    assert found["uniform"] < found["mean_reward"] < found["optimal"]
    assert (found["candidate"]["algorithm"], found["candidate"]["status"]) == ("q_learning", "trained")
    assert len(found["candidate"]["id"]) == 64
    assert found["candidate"]["metrics"]["interactions"] == 300
