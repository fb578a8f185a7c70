"""Probabilities are the model's, the draw is anybody's, and the bytes are those of Avro."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.online_bandit.api.deciding import decide, decide_many
from services.online_bandit.api.encoding import Encoder, dumps
from services.online_bandit.api.requests import read_one
from services.online_bandit.api.served import ServedPolicy
from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.applications.registry import load
from shared.core.policies.solving import solve
from shared.core.verify import verify
from shared.wire.codec import decode, encode
from shared.wire.schemas import schema
from tests.online_bandit.shop import ACTIONS, ranked, request, taught, write_applications

NOW = 1_760_000_000_000


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Application]:
    return load([write_applications(tmp_path_factory.mktemp("apps") / "apps")])


def served(application: Application, rewards: int) -> ServedPolicy:
    learner = taught(application, rewards) if rewards else new_learner(application)
    offsets = (rewards, 0) if rewards else ()
    return ServedPolicy(application.name, policy_name(application), offsets, solve([learner]), NOW, NOW)


REQUESTS: list[dict[str, Any]] = [
    request(),
    request(deferred=True, subject_id="ü" * 100),
    request(actions=["mail", "banner"]),
    request(actions=["popup"]),
    request(context={"age": 55.5, "device": "desk"}),
    ranked(3.0),
    ranked(3.0, 2.0, 1.0),
]


@pytest.mark.parametrize("document", REQUESTS)
@pytest.mark.parametrize("rewards", [0, 500])
def test_the_record_is_byte_for_byte_what_avro_writes(
    document: dict[str, Any], rewards: int, applications: dict[str, Application]
) -> None:
    asked = read_one(document, applications)
    policy = served(asked.application, rewards)
    choice = decide(policy, asked, "d-1")
    raw = Encoder(asked.application).encode(asked, choice, NOW)
    record = {
        "decision_id": "d-1",
        "application": asked.application.name,
        "subject_id": asked.subject_id,
        "policy": policy.name,
        "policy_version": rewards,
        "policy_offsets": list(policy.offsets),
        "action": asked.names[choice.chosen],
        "propensity": choice.probabilities[choice.chosen],
        "actions": [] if asked.every else asked.names,
        "probabilities": choice.probabilities,
        "context": asked.context.tolist(),
        "action_features": asked.action_features.ravel().tolist(),
        "attributes": asked.attributes,
        "deferred": asked.deferred,
        "arm": None,
        "share": None,
        "mixture_propensity": None,
        "decided_at": NOW,
    }
    assert raw == encode(schema("decisions"), record)
    assert decode(schema("decisions"), raw) == record


@given(
    identifier=st.text(min_size=1, max_size=100).filter(str.isprintable),
    offsets=st.lists(st.integers(0, 2**60), max_size=6),
    number=st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_id_offsets_and_attribute_encode_as_avro_does(
    identifier: str, offsets: list[int], number: float, applications: dict[str, Application]
) -> None:
    asked = read_one(request(subject_id=identifier), applications)._replace(
        attributes=[{"name": "n", "number": number, "text": None}, {"name": "t", "number": None, "text": "x"}]
    )
    before = served(asked.application, 0)
    policy = ServedPolicy(before.application, before.name, tuple(offsets), before.model, None, NOW)
    choice = decide(policy, asked, identifier)
    raw = Encoder(asked.application).encode(asked, choice, NOW)
    record = decode(schema("decisions"), raw)
    assert raw == encode(schema("decisions"), record)
    assert record["decision_id"] == record["subject_id"] == identifier
    assert record["policy_offsets"] == offsets
    assert record["policy_version"] == sum(offsets)
    assert record["attributes"] == asked.attributes


@pytest.mark.parametrize("document", REQUESTS)
@pytest.mark.parametrize("rewards", [0, 500])
def test_every_reply_verifies_and_a_changed_one_does_not(
    document: dict[str, Any], rewards: int, applications: dict[str, Application]
) -> None:
    asked = read_one(document, applications)
    policy = served(asked.application, rewards)
    encoder = Encoder(asked.application)
    replies = [encoder.reply(asked, decide(policy, asked, f"d-{i}")) for i in range(50)]
    assert [problems for _, problems in verify(map(dumps, replies))] == [[]] * 50
    if len(asked.names) > 1 and not rewards:
        moved = [{**each, "decision_id": f"{each['decision_id']}x"} for each in replies]
        assert any(problems for _, problems in verify(map(dumps, moved)))


def test_without_any_reward_all_actions_are_alike(applications: dict[str, Application]) -> None:
    asked = read_one(request(), applications)
    policy = served(asked.application, 0)
    choice = decide(policy, asked, "d-1")
    assert policy.version == 0
    assert choice.probabilities == pytest.approx([1 / 3] * 3)


def test_what_was_learnt_shows_and_every_action_keeps_a_probability(
    applications: dict[str, Application],
) -> None:
    asked = read_one(request(), applications)
    choice = decide(served(asked.application, 2000), asked, "d-1")
    assert choice.probabilities[0] > 0.8
    assert min(choice.probabilities) > 0
    assert math.isclose(sum(choice.probabilities), 1, abs_tol=1e-12)


def test_an_action_that_is_not_offered_is_never_drawn(applications: dict[str, Application]) -> None:
    asked = read_one(request(actions=["mail", "popup"]), applications)
    policy = served(asked.application, 2000)
    for i in range(100):
        choice = decide(policy, asked, f"d-{i}")
        assert len(choice.probabilities) == 2
        assert math.isclose(sum(choice.probabilities), 1, abs_tol=1e-12)


@pytest.mark.parametrize("rewards", [0, 500])
@pytest.mark.parametrize("name", ["shop", "ranking"])
def test_a_batch_decides_what_single_requests_would(
    name: str, rewards: int, applications: dict[str, Application]
) -> None:
    documents = [document for document in REQUESTS if document["application"] == name]
    asked = [read_one(document, applications) for document in documents]
    policy = served(applications[name], rewards)
    ids = [f"d-{i}" for i in range(len(asked))]
    together = decide_many(policy, asked, ids)
    for one, identifier, choice in zip(asked, ids, together, strict=True):
        alone = decide(policy, one, identifier)
        assert np.allclose(choice.row, alone.row, rtol=1e-9)
        assert choice.chosen == alone.chosen


def test_mean_rewards_are_those_of_the_rewards(applications: dict[str, Application]) -> None:
    policy = served(applications["shop"], 3000)
    means = dict(zip(ACTIONS, policy.mean_rewards, strict=True))
    assert means == pytest.approx({"banner": 1, "popup": 0, "mail": 0}, abs=0.02)
    assert served(applications["shop"], 0).mean_rewards == [None, None, None]
