"""What a deployment comes to, and what both arms make of a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from services.online_bandit.api.arms import ONLINE, Arms, Failure, Resolved, Split, resolve
from services.online_bandit.api.decider import Counters
from services.online_bandit.api.deciding import Choice, decide, decide_many
from services.online_bandit.api.encoding import Encoder
from services.online_bandit.api.requests import Asked, read_one
from services.online_bandit.api.served import ServedPolicy
from services.online_bandit.api.trained import TrainedPolicy, Unsuitable, suited
from shared.algorithms.serving import Policy
from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.applications.registry import load
from shared.core.draw import uniform
from shared.core.policies.solving import solve
from shared.core.rollout.assignment import is_canary
from shared.core.verify import problems
from shared.telemetry.metrics import Metrics
from shared.wire.codec import decode, encode
from shared.wire.rollouts import Deployed
from shared.wire.schemas import schema
from tests.online_bandit.candidates import NOW, deployment
from tests.online_bandit.shop import ACTIONS, ranked, request, taught, write_applications

KEY = b"key"
STABLE, CANARY = (Deployed(name, "linear", f"/artefacts/{name}", "0" * 64) for name in ("one", "two"))


@dataclass(frozen=True)
class Fixed:
    """Gives every context the same row."""

    row: Sequence[float]
    actions: Sequence[str] = tuple(ACTIONS)
    width: int = 3

    def probabilities(self, contexts: np.ndarray) -> np.ndarray:
        return np.tile(np.array(self.row), (len(contexts), 1))


@dataclass(frozen=True)
class Vector:
    """Gives every context the same numbers."""

    numbers: Sequence[float]
    names: Sequence[str]
    width: int = 23

    def action(self, contexts: np.ndarray) -> np.ndarray:
        return np.tile(np.array(self.numbers), (len(contexts), 1))


class Broken(Fixed):
    def probabilities(self, contexts: np.ndarray) -> np.ndarray:
        raise RuntimeError("no such node")


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Application]:
    return load([write_applications(tmp_path_factory.mktemp("apps") / "apps")])


@pytest.fixture(scope="module")
def online(applications: dict[str, Application]) -> ServedPolicy:
    shop = applications["shop"]
    return ServedPolicy("shop", policy_name(shop), (500, 0), solve([taught(shop, 500)]), NOW, NOW)


def trained(policy: Policy, name: str = "one") -> TrainedPolicy:
    return TrainedPolicy(name, "linear", policy)


ONE, TWO = trained(Fixed([0.5, 0.3, 0.2])), trained(Fixed([0.1, 0.1, 0.8]), "two")
LOADED = {STABLE: ONE, CANARY: TWO}


def asked(applications: dict[str, Application], **changes: Any) -> Asked:
    return read_one(request(**changes), applications)


def resolved(loaded: Any = LOADED, failures: Any = None, key: bytes | None = KEY, **more: Any) -> Resolved:
    given = {"stable": STABLE, "canary": CANARY, "share": 0.3, "salt": "r"} | more
    return resolve(deployment(1, **given), "main", loaded, failures or {}, key)


def test_both_arms_have_their_policies() -> None:
    arms, found = resolved()
    assert arms.stable is ONE
    assert arms.split is not None
    assert (arms.split.canary, arms.split.share, arms.split.salt) == (TWO, 0.3, "r")
    assert found == ()


def test_the_online_policy_is_known_by_its_name_with_any_digest_and_cannot_be_blocked() -> None:
    for name in ("main", "main@0123456789abcdef"):
        arms, found = resolved(canary=Deployed(name), blocked=("main", name))
        assert arms.stable is ONE
        assert arms.split is not None
        assert arms.split.canary is None
        assert found == ()
    arms, found = resolved(stable=Deployed("else"), canary=None)
    assert arms.plain
    assert [(each.arm, each.policy, each.reason) for each in found] == [("stable", "else", "not-verified")]


def test_at_share_zero_nobody_sees_the_canary() -> None:
    arms, found = resolved(share=0.0)
    assert (arms.stable, arms.split, found) == (ONE, None, ())


def test_a_canary_that_cannot_decide_leaves_everybody_to_stable() -> None:
    failure = Failure("not-verified", "changed")
    for changes, reason in [
        ({"blocked": ("two",)}, "blocked"),
        ({"loaded": {STABLE: ONE}}, "loading"),
        ({"loaded": {STABLE: ONE}, "failures": {CANARY: failure}}, "not-verified"),
        ({"key": None}, "no-key"),
    ]:
        arms, found = resolved(**changes)
        assert (arms.stable, arms.split) == (ONE, None)
        assert [(each.arm, each.policy, each.reason) for each in found] == [("canary", "two", reason)]


def test_without_a_key_shadow_is_no_problem() -> None:
    assert resolved(key=None, share=0.0).problems == ()


def test_in_the_place_of_a_bad_stable_policy_the_online_one_decides_and_its_canary_stays() -> None:
    for changes, reason in [({"blocked": ("one",)}, "blocked"), ({"loaded": {CANARY: TWO}}, "loading")]:
        arms, found = resolved(**changes)
        assert arms.stable is None
        assert arms.split is not None
        assert arms.split.canary is TWO
        assert [(each.arm, each.policy, each.reason) for each in found] == [("stable", "one", reason)]


def split(canary: TrainedPolicy | None = TWO, share: float = 0.3) -> Split:
    return Split(canary, share, "r", KEY)


def test_subjects_keep_their_arm_and_a_growing_share_only_adds_some() -> None:
    subjects = [f"s-{i}" for i in range(2000)]
    small, large = ({s for s in subjects if split(share=x).arm(s) == "canary"} for x in (0.1, 0.5))
    assert small < large
    assert len(small) / len(subjects) == pytest.approx(0.1, abs=0.03)
    assert all(split(share=1.0).arm(subject) == "canary" for subject in subjects)
    assert split(share=0.25).share_of("stable") == 0.75


@pytest.mark.parametrize("stable", [ONE, None], ids=["trained", "online"])
@pytest.mark.parametrize("canary", [TWO, None], ids=["trained", "online"])
@pytest.mark.parametrize("actions", [..., ["mail", "banner"]], ids=["all", "two"])
def test_propensity_is_the_arms_own_and_the_mixture_that_of_both(
    stable: TrainedPolicy | None,
    canary: TrainedPolicy | None,
    actions: Any,
    applications: dict[str, Application],
    online: ServedPolicy,
) -> None:
    arms = Arms(stable, split(canary))
    requests = [asked(applications, subject_id=f"s-{i}", actions=actions) for i in range(60)]
    ids = [f"d-{i}" for i in range(60)]
    alone = decide(online, requests[0], "d").row
    rows = {}
    for arm, policy in (("stable", stable), ("canary", canary)):
        own = alone if policy is None else policy.policy.probabilities(np.zeros((1, 3)))[0]  # type: ignore[union-attr]
        if policy is not None and actions is not ...:
            own = own[[2, 0]] / own[[2, 0]].sum()
        rows[arm] = own
    encoder, seen = Encoder(applications["shop"]), set()
    for one, identifier, choice in zip(requests, ids, decide_many(online, requests, ids, arms), strict=True):
        arm = "canary" if is_canary(one.subject_id, 0.3, "r", KEY) else "stable"
        policy = {"stable": stable, "canary": canary}[arm]
        assert choice.placed is not None
        assert (choice.placed.arm, choice.placed.share) == (arm, 0.3 if arm == "canary" else 0.7)
        assert choice.row == pytest.approx(rows[arm], abs=1e-12)
        mixture = 0.3 * rows["canary"][choice.chosen] + 0.7 * rows["stable"][choice.chosen]
        assert choice.placed.mixture_propensity == pytest.approx(mixture, abs=1e-12)
        assert choice.policy is (policy or online)
        assert problems(encoder.reply(one, choice)) == []
        assert decide(online, one, identifier, arms).action == choice.action
        seen.add(arm)
    assert seen == {"stable", "canary"}


@pytest.mark.parametrize(
    ("arms", "timed"),
    [(ONLINE, []), (Arms(ONE), ["stable"]), (Arms(None, split(TWO)), ["stable", "canary"])],
    ids=["online", "trained", "rollout"],
)
def test_arms_are_timed_apart_once_a_trained_policy_decides(
    arms: Arms, timed: list[str], applications: dict[str, Application], online: ServedPolicy
) -> None:
    metrics = Metrics()
    counters = Counters(metrics, "shop", "default")
    requests = [asked(applications, subject_id=f"s-{i}") for i in range(9)]
    decide_many(online, requests, [f"d-{i}" for i in range(9)], arms, counters.timed)
    decide(online, requests[0], "d", arms, counters.timed)
    for arm in ("stable", "canary"):
        labels = {"application": "shop", "arm": arm}
        found = metrics.registry.get_sample_value("streamwheel_arm_seconds_count", labels)
        assert found == (2 if arm in timed else 0)


def test_the_draw_is_that_of_the_arms_policy(
    applications: dict[str, Application], online: ServedPolicy
) -> None:
    one = asked(applications)
    for number in range(100):
        choice = decide(online, one, f"d-{number}", Arms(stable=ONE))
        u = uniform(f"d-{number}", "one", 1)
        assert choice.chosen == (0 if u < 0.5 else 1 if u < 0.8 else 2)
        assert choice.placed is None


def test_the_record_of_a_rollout_is_byte_for_byte_what_avro_writes(
    applications: dict[str, Application], online: ServedPolicy
) -> None:
    one, encoder = asked(applications), Encoder(applications["shop"])
    plain = decode(schema("decisions"), encoder.encode(one, decide(online, one, "d"), NOW))
    for arms in (Arms(ONE, split()), Arms(None, split(share=1.0)), Arms(ONE)):
        choice = decide(online, one, "d", arms)
        raw = encoder.encode(one, choice, NOW)
        record = plain | {
            "policy": choice.policy.name,
            "policy_version": choice.policy.version,
            "policy_offsets": [] if arms.stable else [500, 0],
            "action": choice.action,
            "propensity": choice.propensity,
            "probabilities": choice.probabilities,
            "arm": choice.placed.arm if choice.placed else None,
            "share": choice.placed.share if choice.placed else None,
            "mixture_propensity": choice.placed.mixture_propensity if choice.placed else None,
        }
        assert raw == encode(schema("decisions"), record)


@pytest.mark.parametrize(
    "row", [[0.5, 0.5, 0.0], [0.5, 0.6, 0.1], [0.5, 0.5, np.nan], [1.5, -0.4, -0.1]], ids=str
)
def test_what_is_no_distribution_is_not_drawn_from(
    row: list[float], applications: dict[str, Application], online: ServedPolicy
) -> None:
    one = asked(applications)
    for arms in (Arms(trained(Fixed(row))), Arms(ONE, split(trained(Fixed(row))))):
        choice = decide(online, one, "d", arms)
        assert (choice.policy, choice.placed) == (online, None)
        assert choice.replaced
        assert choice.row.tolist() == decide(online, one, "d").row.tolist()


def test_a_policy_that_raises_costs_nobody_an_answer(
    applications: dict[str, Application], online: ServedPolicy
) -> None:
    arms = Arms(ONE, split(trained(Broken([1 / 3] * 3))))
    choices = decide_many(online, [asked(applications)] * 3, ["a", "b", "c"], arms)
    assert {choice.policy for choice in choices} == {online}
    assert {choice.replaced for choice in choices} == {"RuntimeError: no such node"}


def searches(applications: dict[str, Application]) -> tuple[Application, ServedPolicy, Asked]:
    search = applications["search_ranking"]
    own = ServedPolicy(search.name, policy_name(search), (), solve([new_learner(search)]), None, NOW)
    one = Asked(
        *(search, "s-1", None, np.zeros(23, np.float32), search.actions, True),
        *(np.zeros((6, 0), np.float32), [], False),
    )
    return search, own, one


def weighted(application: Application, numbers: Sequence[float], name: str = "cql-1") -> TrainedPolicy:
    assert application.vector_action is not None
    return suited(name, "cql", Vector(numbers, list(application.vector_action.numbers)), application)


def test_a_vector_is_certain_in_its_arm_and_as_likely_as_the_arm_in_the_mixture(
    applications: dict[str, Application],
) -> None:
    search, online, one = searches(applications)
    cases: list[tuple[TrainedPolicy | None, float]] = [
        (None, 0.4),
        (weighted(search, [1.0] + [0.0] * 6, "other"), 0.4),
        (weighted(search, [1 / 7] * 7, "same"), 1.0),
    ]
    canary = weighted(search, [1 / 7] * 7)
    subject = next(s for s in (f"s-{i}" for i in range(99)) if is_canary(s, 0.4, "r", KEY))
    for stable, mixture in cases:
        choice = decide(online, one._replace(subject_id=subject), "d", Arms(stable, split(canary, 0.4)))
        assert (choice.action, choice.propensity, choice.policy) == ("weights", 1.0, canary)
        assert choice.vector == (1 / 7,) * 7
        assert choice.placed is not None
        assert choice.placed.mixture_propensity == pytest.approx(mixture)
        reply = Encoder(search).reply(one, choice)
        assert problems(reply) == []
        assert reply["parameters"] == dict.fromkeys(search.vector_action.numbers, 1 / 7)  # type: ignore[union-attr]
    other = next(s for s in (f"s-{i}" for i in range(99)) if not is_canary(s, 0.4, "r", KEY))
    preset = decide(online, one._replace(subject_id=other), "d", Arms(None, split(canary, 0.4)))
    assert preset.action in search.actions
    assert preset.placed is not None
    assert preset.placed.mixture_propensity == pytest.approx(0.6 * preset.propensity)


def test_the_numbers_of_a_vector_are_attributes_of_the_record(applications: dict[str, Application]) -> None:
    search, online, one = searches(applications)
    choice = decide(online, one, "d", Arms(weighted(search, np.arange(7.0))))
    raw = Encoder(search).encode(one, choice, NOW)
    record = decode(schema("decisions"), raw)
    assert raw == encode(schema("decisions"), record)
    assert (record["action"], record["actions"], record["probabilities"]) == ("weights", ["weights"], [1.0])
    names = search.vector_action.numbers  # type: ignore[union-attr]
    assert [(each["name"], each["number"]) for each in record["attributes"]] == [
        (name, float(number)) for number, name in enumerate(names)
    ]


def test_a_list_of_presets_is_chosen_from_by_the_online_policy(
    applications: dict[str, Application],
) -> None:
    search, online, one = searches(applications)
    some = one._replace(names=search.actions[:2], every=False, action_features=np.zeros((2, 0), np.float32))
    for arms in (Arms(weighted(search, [1.0] * 7)), Arms(None, split(weighted(search, [1.0] * 7)))):
        choice = decide(online, some, "d", arms)
        assert (choice.policy, choice.placed) == (online, None)
        assert choice.action in search.actions[:2]
    infinite = Arms(weighted(search, [np.inf] + [0.0] * 6))
    assert decide(online, one, "d", infinite).policy is online


def test_a_policy_for_something_else_is_refused(applications: dict[str, Application]) -> None:
    shop, search, ranking = (applications[name] for name in ("shop", "search_ranking", "ranking"))
    third = [1 / 3] * 3
    wrong: list[tuple[Policy, Application, str]] = [
        (Fixed(third, width=4), shop, "contexts of 4 numbers, not 3"),
        (Fixed(third, actions=("mail", "popup", "banner")), shop, "its actions are mail, popup, banner"),
        (Fixed(third, actions=("banner", "popup")), shop, "its actions are banner, popup"),
        (Fixed(third, width=1), ranking, "bring their actions"),
        (Vector([1.0], ["W"], 3), shop, "the numbers W"),
        (Vector([1.0], ["W"]), search, "the numbers W"),
    ]
    for policy, application, message in wrong:
        with pytest.raises(Unsuitable, match=message):
            suited("x", "linear", policy, application)
    assert suited("x", "linear", Fixed(third), shop).name == "x"


def test_an_application_whose_actions_bring_features_goes_on_with_its_online_policy(
    applications: dict[str, Application],
) -> None:
    ranking = applications["ranking"]
    online = ServedPolicy("ranking", policy_name(ranking), (), solve([new_learner(ranking)]), None, NOW)
    one = read_one(ranked(1.0, 2.0), applications)
    choices: list[Choice] = decide_many(online, [one, one], ["a", "b"], Arms(None, split(None)))
    assert all(choice.placed is not None and choice.policy is online for choice in choices)
