"""Evaluations, deployments and their audit as values."""

from dataclasses import replace
from typing import Any

import pytest

from shared.wire.codec import Record, WireError, encode
from shared.wire.rollouts import read_deployment, read_evaluation, read_event
from shared.wire.schemas import schema
from tests.wire.samples import SAMPLES

READERS: dict[str, Any] = {
    "evaluations": read_evaluation,
    "deployments": read_deployment,
    "deployment-events": read_event,
}


@pytest.mark.parametrize("topic", READERS)
def test_a_value_is_what_was_written(topic: str) -> None:
    raw = encode(schema(topic), SAMPLES[topic])
    assert READERS[topic](raw).encode() == raw


def test_a_deployment_without_rollout_has_no_canary() -> None:
    deployment = read_deployment(encode(schema("deployments"), SAMPLES["deployments"]))
    assert (deployment.stable.policy, deployment.canary and deployment.canary.algorithm) == (
        "default",
        "linear",
    )
    alone = replace(deployment, canary=None)
    assert read_deployment(alone.encode()) == alone


STABLE, CANARY = SAMPLES["deployments"]["policies"]
WRONG: list[tuple[str, Record, str]] = [
    ("evaluations", {"candidate_id": ""}, "candidate_id is empty"),
    ("evaluations", {"kind": "guess"}, "kind: 'guess' is not one of log, shadow, stage"),
    ("evaluations", {"verdict": "perhaps"}, "verdict: 'perhaps'"),
    ("deployments", {"application": ""}, "application is empty"),
    ("deployments", {"share": 1.5}, "share is 1.5"),
    ("deployments", {"share": float("nan")}, "share is nan"),
    ("deployments", {"policies": [CANARY]}, "policies have the arms canary"),
    ("deployments", {"policies": [STABLE, {**CANARY, "arm": "other"}]}, "arms stable, other"),
    ("deployments", {"state": "{"}, "state: no JSON"),
    ("deployments", {"state": "[]"}, "state: not a JSON object"),
    ("deployment-events", {"what": ""}, "what is empty"),
]


@pytest.mark.parametrize(("topic", "change", "message"), WRONG)
def test_a_value_that_makes_no_sense_is_malformed(topic: str, change: Record, message: str) -> None:
    raw = encode(schema(topic), {**SAMPLES[topic], **change})
    with pytest.raises(WireError, match=message) as refused:
        READERS[topic](raw)
    assert refused.value.reason == "malformed"
