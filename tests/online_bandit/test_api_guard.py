"""An application's guard shapes what the online policy gives: in the draw, in the log and in mixtures."""

import numpy as np
import pytest

from services.online_bandit.api.arms import Arms, Split
from services.online_bandit.api.deciding import decide, decide_many
from services.online_bandit.api.encoding import Encoder, dumps
from services.online_bandit.api.requests import Asked, read_one
from services.online_bandit.api.served import ServedPolicy
from services.online_bandit.api.trained import TrainedPolicy
from shared.applications.policies import new_learner, policy_name
from shared.applications.registry import load
from shared.core.policies.rows import Rows
from shared.core.policies.solving import solve
from shared.core.verify import verify

VOICE = load()["voice_assistant"]
BASE, BAD, GOOD = "v1a", "v1b", "v2a"
KEY = b"a key"


def served(**rewards: list[float]) -> ServedPolicy:
    """The policy after these rewards of each variant."""
    learner = new_learner(VOICE)
    values = np.array([value for each in rewards.values() for value in each])
    actions = np.array([VOICE.actions.index(name) for name, each in rewards.items() for _ in each], np.int64)
    n = len(values)
    if n:
        contexts = np.zeros((n, VOICE.context_width), np.float32)
        rows = Rows.of(contexts, actions, values, np.ones(n), np.zeros(n, np.int64))
        learner.learn(rows.contexts, rows.actions, rows.rewards, rows.fresh, rows.times)
    return ServedPolicy(VOICE.name, policy_name(VOICE), (n,), solve([learner]), 1, 1)


def asked(n: int = 0, **more: object) -> Asked:
    context = {"profile": "kfz"}
    document = {"application": VOICE.name, "subject_id": f"s-{n}", "context": context, **more}
    return read_one(document, {VOICE.name: VOICE})


def test_new_variants_get_a_tenth_at_most_and_five_of_them_beside_the_base() -> None:
    choice = decide(served(), asked(), "d")
    given = dict(zip(choice.names, choice.probabilities, strict=True))
    assert len(given) == 6
    assert sum(given.values()) == pytest.approx(1)
    assert all(share <= 0.1 for name, share in given.items() if name != BASE)
    assert not choice.every


def test_a_bad_variant_is_out_and_a_good_one_is_not_held_back() -> None:
    policy = served(**{BASE: [0.0] * 400, BAD: [-0.9] * 25, GOOD: [0.9] * 400})
    choices = decide_many(policy, [asked(n) for n in range(200)], [f"d-{n}" for n in range(200)])
    assert not any(BAD in choice.names for choice in choices)
    given = dict(zip(choices[0].names, choices[0].probabilities, strict=True))
    assert given[GOOD] > 0.4
    lines = [dumps(Encoder(VOICE).reply(asked(n), choice)) for n, choice in enumerate(choices)]
    assert [problems for _, problems in verify(lines) if problems] == []
    # One by one it is the same.
    assert [decide(policy, asked(n), f"d-{n}").action for n in range(20)] == [
        choice.action for choice in choices[:20]
    ]


def test_a_product_s_own_list_is_left_alone() -> None:
    policy = served(**{BASE: [0.0] * 30, BAD: [-0.9] * 25})
    choice = decide(policy, asked(actions=[BAD, GOOD]), "d")
    assert choice.names == [BAD, GOOD]


class Even:
    """A trained policy that gives every variant the same."""

    actions, width = VOICE.actions, VOICE.context_width

    def probabilities(self, contexts: np.ndarray) -> np.ndarray:
        return np.full((len(contexts), len(self.actions)), 1 / len(self.actions))


def test_mixtures_know_that_one_arm_offers_less() -> None:
    canary = TrainedPolicy("trained", "prompt_search", Even())
    arms = Arms(None, Split(canary, 0.5, "rollout", KEY))
    policy = served(**{BASE: [0.0] * 30, BAD: [-0.9] * 25})
    choices = decide_many(policy, [asked(n) for n in range(300)], [f"d-{n}" for n in range(300)], arms)
    online = decide(policy, asked(), "d")
    offered = dict(zip(online.names, online.probabilities, strict=True))
    seen = set()
    for choice in choices:
        assert choice.placed is not None
        both = 0.5 / 12 + 0.5 * offered.get(choice.action, 0.0)
        assert choice.placed.mixture_propensity == pytest.approx(both)
        seen.add((choice.placed.arm, choice.action in offered))
    assert seen == {("stable", True), ("canary", True), ("canary", False)}
