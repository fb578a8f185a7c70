"""Whatever is deployed, whoever asks: what is logged is what was drawn, and the audit sees lies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.online_bandit.api.arms import resolve
from services.online_bandit.api.deciding import Choice, decide_many
from services.online_bandit.api.encoding import Encoder
from services.online_bandit.api.requests import read_one
from services.online_bandit.api.served import ServedPolicy
from services.online_bandit.api.trained import TrainedPolicy
from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.applications.registry import load
from shared.cli.audit.history import History
from shared.cli.audit.propensities import Propensities
from shared.cli.audit.trained import Trained
from shared.core.policies.solving import solve
from shared.core.rollout.verify import Arrangement
from shared.wire.codec import decode, encode
from shared.wire.columns import decode_columns
from shared.wire.rollouts import Deployed, Deployment
from shared.wire.schemas import schema
from tests.cli.world import Entry, MemoryLog
from tests.online_bandit.candidates import NOW, ONLINE, deployment
from tests.online_bandit.rewards import raw, reward
from tests.online_bandit.shop import ACTIONS, request, write_applications

KEY = b"key"
PARTITIONS = 2
REWARDS = 60
"""Of each partition: the scaling is settled by the first eight."""


@dataclass(frozen=True)
class Softmax:
    """Prefers actions by the context."""

    seed: int
    actions: Sequence[str] = tuple(ACTIONS)
    width: int = 3

    def probabilities(self, contexts: np.ndarray) -> np.ndarray:
        scores = np.exp(contexts @ np.random.default_rng(self.seed).normal(size=(3, len(ACTIONS))))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))


POLICIES = {"one": Softmax(1), "two": Softmax(2)}
PLACES = {name: Deployed(name, "linear", f"/artefacts/{name}", "0" * 64) for name in ("one", "two", "gone")}
DEPLOYABLE = [ONLINE, *PLACES.values()]


class Known(Trained):
    """Policies that need no artefacts."""

    def __init__(self) -> None:
        super().__init__(PLACES, cast(Any, None))
        self._known.update(POLICIES)


class World:
    """The shop, rewards in memory, and the online policy as it was when so many were learnt."""

    def __init__(
        self, shop: Application, log: MemoryLog, online: Mapping[tuple[int, ...], ServedPolicy]
    ) -> None:
        self.shop, self.log, self.online = shop, log, online


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    shop = load([write_applications(tmp_path_factory.mktemp("apps") / "apps")])["shop"]
    random = np.random.default_rng(0)
    entries, rows = [], []
    for _ in range(PARTITIONS):
        records = [reward(shop, random, reward=float(random.normal())) for _ in range(REWARDS)]
        entries.append([Entry(raw(each), NOW, each) for each in records])
        rows.append(records)
    online = {}
    for offsets in [(), (3, 0), (9, 5), (40, 60), (60, 60)]:
        learners = [new_learner(shop) for _ in rows]
        for learner, records, offset in zip(learners, rows, offsets or (0, 0), strict=True):
            chosen = records[:offset]
            if chosen:
                learner.learn(
                    np.array([each["decision"]["context"] for each in chosen]),
                    np.array([ACTIONS.index(each["decision"]["action"]) for each in chosen]),
                    np.array([each["reward"] - each["previous_reward"] for each in chosen]),
                    np.array([each["revision"] == 0 for each in chosen]),
                    np.array([each["decision_time"] for each in chosen]),
                )
        if (scaling := learners[0].propose_scaling()) is not None:
            for learner in learners:
                learner.set_scaling(scaling)
        online[offsets] = ServedPolicy("shop", policy_name(shop), offsets, solve(learners), NOW, NOW)
    return World(shop, MemoryLog({"rewards": entries}), online)


@dataclass(frozen=True)
class Case:
    """A deployment, and requests under it."""

    deployment: Deployment
    key: bytes | None
    offsets: tuple[int, ...]
    asked: Sequence[Mapping[str, Any]]


names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    canary = draw(st.sampled_from([None, *DEPLOYABLE]))
    share = draw(st.floats(0, 1) | st.sampled_from([0.0, 0.1, 0.5, 1.0])) if canary else 0.0
    ordered = deployment(
        draw(st.integers(1, 9)),
        draw(st.sampled_from(DEPLOYABLE)),
        canary=canary,
        share=share,
        salt=draw(names) if canary else "",
        blocked=tuple(draw(st.sets(st.sampled_from(["one", "two"])))),
    )
    subjects = draw(st.lists(names, min_size=1, max_size=12))
    some = st.sets(st.sampled_from(ACTIONS), min_size=1).map(sorted)
    asked = [
        {
            "subject_id": subject,
            "context": {"age": draw(st.integers(18, 90)), "device": draw(st.sampled_from(["phone", "desk"]))},
            "actions": draw(st.just(...) | some),
        }
        for subject in subjects
    ]
    offsets = draw(st.sampled_from([(), (3, 0), (9, 5), (40, 60), (60, 60)]))
    return Case(ordered, draw(st.sampled_from([KEY, None])), offsets, asked)


def decided(
    world: World,
    case: Case,
    key: bytes | None = None,
    policies: Mapping[str, Softmax] = POLICIES,
    online: ServedPolicy | None = None,
) -> list[tuple[Choice, bytes]]:
    """What the decision API makes of it, under other circumstances than the case's if they are given."""
    loaded = {PLACES[name]: TrainedPolicy(name, "linear", policy) for name, policy in policies.items()}
    arms = resolve(case.deployment, "main", loaded, {}, key or case.key).arms
    asked = [read_one(request(**each), {"shop": world.shop}) for each in case.asked]
    ids = [f"d-{n}" for n in range(len(asked))]
    choices = decide_many(online or world.online[case.offsets], asked, ids, arms)
    encoder = Encoder(world.shop)
    return [(choice, encoder.encode(one, choice, NOW)) for one, choice in zip(asked, choices, strict=True)]


def number(text: str, **how: Any) -> float:
    return (int.from_bytes(blake2b(text.encode(), digest_size=8, **how).digest(), "big") >> 11) / 2**53


def oracle(world: World, case: Case, place: int) -> dict[str, Any]:
    """What has to be logged of a request, worked out from the words of the specification alone."""
    asked, ordered = case.asked[place], case.deployment
    offered = ACTIONS if asked["actions"] is ... else asked["actions"]
    context = world.shop.featurise(asked["context"]).astype(float)
    online = world.online[case.offsets]

    def usable(wanted: Deployed) -> bool:
        return wanted == ONLINE or (wanted.policy in POLICIES and wanted.policy not in ordered.blocked)

    def answer(wanted: Deployed) -> dict[str, float]:
        if wanted == ONLINE or not usable(wanted):
            mask = np.array([name in offered for name in ACTIONS])
            row = online.model.probabilities(context[None].astype(np.float32), mask)[0]
        else:
            row = POLICIES[wanted.policy].probabilities(context[None])[0]
        chosen = {name: float(row[ACTIONS.index(name)]) for name in offered}
        return {name: each / sum(chosen.values()) for name, each in chosen.items()}

    wanted, arm, share, mixture = ordered.stable, None, None, None
    canary = ordered.canary
    if canary is not None and usable(canary) and ordered.share and case.key:
        given = number(f"{ordered.salt}\0{asked['subject_id']}", key=case.key) < ordered.share
        arm, share = ("canary", ordered.share) if given else ("stable", 1 - ordered.share)
        wanted, other = (canary, ordered.stable) if given else (ordered.stable, canary)
    own = answer(wanted)
    trained = wanted != ONLINE and usable(wanted)
    name, version = (wanted.policy, 1) if trained else (online.name, sum(case.offsets))
    u, action, total = number(f"d-{place}\0{name}\0{version}"), "", 0.0
    for action, each in own.items():  # noqa: B007  the last one, if rounding leaves the sum below u
        total += each
        if total > u:
            break
    if arm is not None and share is not None:
        mixture = share * own[action] + (1 - share) * answer(other)[action]
    return {
        "policy": name, "policy_version": version, "action": action, "propensity": own[action],
        "arm": arm, "share": share, "mixture_propensity": mixture,
    }  # fmt: skip


def audited(world: World, case: Case, records: Sequence[bytes]) -> dict[str, str]:
    """Decision → what an audit says against it."""
    ordered, told = case.deployment, dict[str, str]()
    arrangements = [
        Arrangement(NOW, ordered.salt, ordered.share, ordered.stable.policy, ordered.canary.policy)
        for _ in range(1)
        if ordered.canary
    ]
    checks = Propensities(
        {"shop": world.shop}, History({"shop": arrangements}, dict(PLACES)), Known(), KEY, told.setdefault
    )
    checks.see(decode_columns(schema("decisions"), list(records)).frame)
    checks.close(world.log)
    return told


@given(case=cases())
def test_arm_share_propensity_and_mixture_are_the_oracles_and_the_audit_agrees(
    world: World, case: Case
) -> None:
    found = decided(world, case)
    for place, (_, value) in enumerate(found):
        record = decode(schema("decisions"), value)
        for name, due in oracle(world, case, place).items():
            expected = pytest.approx(due, abs=1e-12) if isinstance(due, float) else due
            assert record[name] == expected, name
    assert audited(world, case, [value for _, value in found]) == {}


@given(case=cases(), off=st.floats(1e-4, 0.3))
def test_a_wrong_mixture_is_seen(world: World, case: Case, off: float) -> None:
    records, wrong = [], set()
    for choice, value in decided(world, replace(case, key=KEY)):
        record = decode(schema("decisions"), value)
        mixture = record["mixture_propensity"]
        if mixture is not None:
            shifted = mixture - off if mixture > 2 * off else mixture + off
            record["mixture_propensity"] = shifted
            wrong.add(choice.decision_id)
        records.append(encode(schema("decisions"), record))
    assert audited(world, case, records).keys() == wrong


@given(case=cases())
def test_arms_that_another_key_gave_are_seen(world: World, case: Case) -> None:
    right, found = (decided(world, replace(case, key=KEY), key) for key in (KEY, b"another"))
    told = audited(world, case, [value for _, value in found])
    for (choice, _), (meant, _) in zip(found, right, strict=True):
        same = choice.placed is None or choice.placed.arm == meant.placed.arm  # type: ignore[union-attr]
        assert same != ("belongs to" in told.get(choice.decision_id, ""))


@given(case=cases())
def test_probabilities_that_are_not_the_policys_are_seen(world: World, case: Case) -> None:
    found = decided(world, case, policies={"one": Softmax(3), "two": Softmax(4)})
    told = audited(world, case, [value for _, value in found])
    for choice, value in found:
        record, expected = decode(schema("decisions"), value), POLICIES.get(choice.policy.name)
        if expected is not None and len(choice.names) > 1:
            row = expected.probabilities(np.array([record["context"]], float))[0]
            row = row[[ACTIONS.index(name) for name in choice.names]]
            if np.abs(row / row.sum() - choice.row).max() > 1e-4:
                assert choice.decision_id in told


@given(case=cases())
def test_an_online_policy_that_had_learnt_something_else_is_seen(world: World, case: Case) -> None:
    online = world.online[case.offsets]
    another = world.online[(60, 60) if case.offsets != (60, 60) else (9, 5)]
    liar = replace(online, model=another.model)
    right, found = decided(world, case), decided(world, case, online=liar)
    told = audited(world, case, [value for _, value in found])
    for (choice, _), (meant, _) in zip(found, right, strict=True):
        if np.abs(choice.row - meant.row).max() > 1e-4:
            assert choice.decision_id in told


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"arm": "both"}, "neither stable nor canary"),
        ({"share": 0.7}, "no deployment gave"),
        ({"share": 1.5}, "not in (0, 1]"),
        ({"mixture_propensity": 1e-9}, "cannot come of propensity"),
        ({"mixture_propensity": None}, "told in part"),
        ({"policy_version": 2}, ""),
        ({"decided_at": NOW - 60_000}, "no deployment gave"),
    ],
)
def test_what_no_rollout_can_have_led_to_is_named(
    world: World, changed: Mapping[str, Any], words: str
) -> None:
    ordered = deployment(1, PLACES["one"], canary=PLACES["two"], share=0.5, salt="r")
    case = Case(ordered, KEY, (), [{"subject_id": f"s-{n}", "actions": ...} for n in range(20)])
    record = decode(schema("decisions"), decided(world, case)[0][1])
    (told,) = audited(world, case, [encode(schema("decisions"), record | changed)]).values()
    assert words in told


def test_a_policy_that_cannot_be_had_cannot_be_believed(world: World) -> None:
    ordered = deployment(1, PLACES["gone"])
    case = Case(ordered, KEY, (), [{"subject_id": "s", "actions": ...}])
    record = decode(schema("decisions"), decided(world, case)[0][1])
    lied = {"policy": "gone", "policy_version": 1}
    found = next(
        told
        for n in range(20)
        for told in audited(
            world, case, [encode(schema("decisions"), record | lied | {"decision_id": f"d-{n}"})]
        ).values()
        if "anew" not in told
    )
    assert "gone cannot be asked again" in found
