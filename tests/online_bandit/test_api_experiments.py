"""Subjects of a test keep their variant; the log says with which probability, for anybody to draw again."""

import json
from pathlib import Path

import httpx
import pytest

from services.online_bandit.api.encoding import Encoder, dumps
from services.online_bandit.api.experimenting import Trial
from services.online_bandit.api.requests import read_one
from shared.applications.experiments import experiment_of
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.core.verify import verify
from tests.online_bandit.processes import read_topic, running
from tests.online_bandit.shop import ACTIONS, SHOP, request, write_applications

EXPERIMENT = "experiment: {name: one, shares: {mail: 0.25, banner: 0.75}, control: banner, subjects: 0.5}\n"
SUBJECTS = [f"s-{n}" for n in range(60)]


def test_a_request_s_own_list_and_other_subjects_are_left_alone(tmp_path: Path) -> None:
    application = load([write_applications(tmp_path / "a", shop=SHOP + EXPERIMENT)])["shop"]
    test = experiment_of(application)
    assert test is not None
    trial = Trial(test)
    for subject in SUBJECTS:
        found = trial.choice(read_one(request(subject_id=subject), {"shop": application}), "d")
        assert (found is not None) == test.includes(subject)
        if found is not None:
            assert (found.action, found.names, found.every) == (
                test.variant(subject),
                ["mail", "banner"],
                False,
            )
            assert found.propensity == test.shares[found.action]
        own = read_one(request(subject_id=subject, actions=["mail", "popup"]), {"shop": application})
        assert trial.choice(own, "d") is None


async def test_a_test_on_a_running_api(topics: BrokerSettings, tmp_path: Path) -> None:
    folder = write_applications(tmp_path / "applications", shop=SHOP + EXPERIMENT)
    test = experiment_of(load([folder])["shop"])
    assert test is not None
    inside = {subject for subject in SUBJECTS if test.includes(subject)}
    async with running(topics, tmp_path) as api, httpx.AsyncClient(base_url=api.url, timeout=20) as http:
        asked = [request(subject_id=subject) for subject in SUBJECTS]
        many = (await http.post("/v1/decisions/batch", json={"decisions": asked})).json()["decisions"]
        single = [(await http.post("/v1/decisions", json=each)).json() for each in asked[:10]]
        await http.put("/v1/kill/shop", json={"reason": "enough", "by": "ann"})
        killed = (await http.post("/v1/decisions/batch", json={"decisions": asked})).json()["decisions"]
    for subject, reply in [*zip(SUBJECTS, many, strict=True), *zip(SUBJECTS, single, strict=False)]:
        if subject in inside:
            assert reply["policy"] == {"name": "experiment:one", "version": 1}
            assert (reply["action"], reply["probabilities"]) == (test.variant(subject), dict(test.shares))
        else:
            assert reply["policy"]["name"].startswith("main@")
            assert list(reply["probabilities"]) == ACTIONS
    assert not any(reply["policy"]["name"].startswith("experiment:") for reply in killed)
    logged = await read_topic(topics, "decisions")
    assert len(logged) == 130
    lines = [
        json.dumps(
            {
                **{name: each[name] for name in ("decision_id", "subject_id", "action", "propensity")},
                "policy": {"name": each["policy"], "version": each["policy_version"]},
                "actions": each["actions"] or ACTIONS,
                "probabilities": each["probabilities"],
            }
        )
        for each in logged
    ]
    assert [problems for _, problems in verify(lines) if problems] == []


def test_a_reply_says_what_is_wanted_of_the_subject_beside_what_the_action_stands_for() -> None:
    chat = load()["assistant"]
    test, encoder = experiment_of(chat), Encoder(chat)
    assert test is not None
    trial = Trial(test)
    for subject in SUBJECTS:
        document = {"application": "assistant", "subject_id": subject, "context": {"query": "why?"}}
        asked = read_one(document, {"assistant": chat})
        if (choice := trial.choice(asked, "d")) is not None:
            told = json.loads(dumps(encoder.reply(asked, choice)))["parameters"]
            assert told == {**(chat.parameters(choice.action) or {}), **chat.asked_of(subject)}
            assert told.keys() == {"model", "settings", "collect_feedback"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{name: one, shares: {mail: 0.5, banner: 0.6}, control: mail}", "shares must sum to 1"),
        ("{name: one, shares: {mail: 0.5, fax: 0.5}, control: mail}", "fax: not in the list of actions"),
        ("{name: one, shares: {mail: 0.5, banner: 0.5}, control: popup}", "control 'popup' is none of"),
    ],
)
def test_a_test_that_cannot_be_is_refused_with_its_file(tmp_path: Path, given: str, words: str) -> None:
    folder = write_applications(tmp_path / "a", shop=f"{SHOP}experiment: {given}\n")
    with pytest.raises(ValueError, match=words):
        load([folder])
