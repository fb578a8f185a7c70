"""A policy's name changes with whatever its statistics depend on, and with nothing else."""

from typing import Any

import pytest

from shared.applications.generic.application import GenericApplication
from shared.applications.policies import new_learner, policy_name
from shared.applications.settings import ApplicationSettings

BASE: dict[str, Any] = {
    "application": "shop",
    "features": [
        {"name": "price", "type": "numeric"},
        {"name": "color", "type": "categorical", "values": ["red", "blue"]},
    ],
    "actions": ["a", "b"],
    "policy": {"name": "main", "kind": "linucb"},
}


def name(**changes: Any) -> str:
    return policy_name(GenericApplication(ApplicationSettings.model_validate({**BASE, **changes})))


def test_the_name_is_the_settings_name_and_a_digest_that_is_stable() -> None:
    stated, _, digest = name().partition("@")
    assert stated == "main"
    assert len(digest) == 16
    assert name() == name()


@pytest.mark.parametrize(
    "changes",
    [
        {"features": BASE["features"][::-1]},
        {"features": [{"name": "price", "type": "numeric", "scale": 2.0}, BASE["features"][1]]},
        {"actions": ["b", "a"]},
        {"actions": {"features": [{"name": "size", "type": "numeric"}]}},
        {"policy": {"name": "main", "kind": "linucb", "alpha": 0.5}},
        {"policy": {"name": "main", "kind": "linucb", "half_life": "7d"}},
    ],
)
def test_statistics_of_other_features_actions_or_hyper_parameters_belong_to_another_policy(
    changes: dict[str, Any],
) -> None:
    assert name(**changes) != name()


def test_waiting_longer_for_rewards_is_the_same_policy() -> None:
    assert name(reward={"wait": "1d"}) == name()


def test_a_learner_has_the_application_s_shape() -> None:
    fixed = new_learner(GenericApplication(ApplicationSettings.model_validate(BASE)))
    assert (fixed.width, fixed.actions, fixed.action_width) == (3, 2, 0)
    dynamic = {**BASE, "actions": {"features": [{"name": "size", "type": "numeric"}]}}
    joint = new_learner(GenericApplication(ApplicationSettings.model_validate(dynamic)))
    assert (joint.width, joint.actions, joint.action_width) == (3, 1, 1)
