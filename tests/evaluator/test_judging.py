"""What a log says of a candidate, and when it says nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from services.evaluator import rewards
from services.evaluator.asking import Unusable
from services.evaluator.evaluating import about_candidate
from services.evaluator.judging import Judged, judge_log, settings_of
from services.evaluator.lineage import Lineage, lineage
from services.evaluator.rewards import Logged
from shared.applications.contract import Application
from shared.wire.training import Span
from tests.evaluator.world import applications, candidate_of, now_ms, policy, records
from tests.online_bandit.rewards import raw

NOTHING = Lineage(())


@pytest.fixture
def shop(tmp_path: Path) -> Application:
    return applications(tmp_path)["shop"]


def logged(found: list[dict[str, Any]], partition: int = 0) -> Logged:
    read = [
        SimpleNamespace(value=raw(each), offset=offset, partition=partition)
        for offset, each in enumerate(found)
    ]
    return Logged(rewards.decode(read)[0], (Span(partition, 0, len(found)),))


def judge(
    shop: Application,
    found: list[dict[str, Any]],
    made: Any = None,
    known: Lineage = NOTHING,
    widening: float = 1.0,
) -> Judged:
    settings = settings_of(shop.settings, widening, 5000.0)
    about = about_candidate(candidate_of("c" * 64), now_ms())
    return judge_log(about, made or policy(1.0), shop, logged(found), known, settings)


def reasons(found: Judged) -> list[str]:
    return [each.name for each in found.evaluation.reasons]


def test_too_few_decisions_settle_nothing_and_none_at_all_neither(shop: Application) -> None:
    few, none = judge(shop, records(shop, 99)), judge(shop, [])
    assert (few.evaluation.verdict, reasons(few)) == ("inconclusive", ["few-decisions"])
    (reason,) = few.evaluation.reasons
    assert (reason.value, reason.limit) == (99.0, 100.0)
    assert few.evaluation.metrics[0].value > few.evaluation.metrics[0].baseline
    assert (none.evaluation.verdict, none.evaluation.metrics, none.study) == ("inconclusive", (), None)


def test_a_policy_like_the_logging_one_is_no_better_and_is_told_how_far_it_is_from_that(
    shop: Application,
) -> None:
    found = judge(shop, records(shop, 1000), policy(0.0, floor=1.0)).evaluation
    assert found.verdict == "inconclusive"
    assert found.reasons[0].name == "interval-holds-baseline"


def test_actions_that_the_log_has_none_of_are_missing_support(shop: Application) -> None:
    only = records(shop, 500, action="banner", propensity=1.0, probabilities=[1.0, 0.0])
    found = judge(shop, only)
    assert found.evaluation.verdict == "refused"
    assert "missing-support" in reasons(found)


def test_actions_that_a_policy_says_it_never_takes_are_missing_support_wherever_they_are(
    shop: Application,
) -> None:
    """Weights may average one all the same, where others do take them."""
    never = records(shop, 60, action="list", propensity=1.0, probabilities=[0.0, 1.0])
    found = judge(shop, [*records(shop, 900), *never])
    (reason, *_) = found.evaluation.reasons
    assert (found.evaluation.verdict, reason.name, reason.limit) == ("refused", "missing-support", 0.01)
    assert reason.value == pytest.approx(60 * 0.5 / 960, rel=0.3)
    beside = [{**each, "decision": {**each["decision"], "mixture_propensity": 0.9}} for each in never]
    assert judge(shop, [*records(shop, 900), *beside]).evaluation.verdict == "pass"


def test_a_log_is_refused_for_heavy_decisions_that_were_to_be_expected_though_none_was_drawn(
    shop: Application,
) -> None:
    shown = {"action": "banner", "propensity": 0.998, "probabilities": [0.998, 0.002]}
    likes_both = policy(0.0, floor=1.0)
    found = judge(shop, records(shop, 900, **shown), likes_both).evaluation
    tail = next(each for each in found.reasons if each.name == "tail-weight")
    square, fourth = (0.002 * 249.0**n + 0.998 * (0.5 / 0.998 - 1) ** n for n in (2, 4))
    assert (found.verdict, tail.limit) == ("refused", 10.0)
    assert tail.value == pytest.approx(900 * square**2 / fourth)
    untold = judge(shop, records(shop, 900, **{**shown, "probabilities": []}), likes_both)
    assert "tail-weight" not in reasons(untold)


def test_a_log_that_has_ended_a_week_ago_says_nothing_of_today(shop: Application) -> None:
    old = now_ms() - 8 * 86_400_000
    found = judge(shop, records(shop, 800, decision_time=old))
    assert (found.evaluation.verdict, reasons(found)) == ("refused", ["stale-window"])


def test_within_a_rollout_decisions_weigh_by_what_both_arms_would_have_done(shop: Application) -> None:
    """Each arm's own propensity would be sound too, but heavier: the mixture's weights are bounded by it."""
    mixed = records(shop, 1000, arm="stable", share=0.9, mixture_propensity=0.55)
    plain, weighed = (judge(shop, each).evaluation for each in (records(shop, 1000), mixed))
    assert plain.max_weight == pytest.approx(0.95 / 0.5)
    assert weighed.max_weight == pytest.approx(0.95 / 0.55)


def test_where_fewer_actions_were_offered_the_policy_chooses_among_those(shop: Application) -> None:
    alone = records(shop, 300, action="list", actions=["list"], probabilities=[1.0], propensity=1.0)
    both = records(shop, 300, seed=2, actions=["list", "banner"])
    found = judge(shop, [*alone, *both]).evaluation
    # Who is offered one thing takes it, under any policy: those weigh 1, the others .1 or 1.9.
    weights = np.array([1.0] * 300 + [_weight(each) for each in both])
    assert found.effective_sample_size == pytest.approx(weights.sum() ** 2 / (weights @ weights))
    assert found.decisions == 600


def _weight(record: dict[str, Any]) -> float:
    decision = record["decision"]
    return (0.95 if (decision["context"][0] > 0) == (decision["action"] == "banner") else 0.05) / 0.5


@pytest.mark.parametrize(
    "broken",
    [
        {"propensity": 0.25},
        {"probabilities": [0.5, 0.6]},
        {"probabilities": [0.5]},
        {"propensity": 0.0, "probabilities": []},
        {"propensity": float("nan"), "probabilities": []},
        {"mixture_propensity": 1.5},
        {"actions": ["list"], "action": "banner", "probabilities": [1.0]},
    ],
    ids=str,
)
def test_policies_whose_propensities_are_not_what_they_logged_are_not_believed(
    shop: Application, broken: dict[str, Any]
) -> None:
    liar = [*records(shop, 200, seed=3, policy="liar"), *records(shop, 1, seed=4, policy="liar", **broken)]
    found = judge(shop, [*records(shop, 800), *liar])
    assert (found.evaluation.verdict, found.evaluation.decisions) == ("pass", 800)
    (reason,) = found.evaluation.reasons
    assert (reason.name, reason.value) == ("unreproducible-propensities", 201.0)
    assert "liar" in reason.detail


def test_probabilities_that_nobody_logged_contradict_nothing(shop: Application) -> None:
    found = judge(shop, records(shop, 800, probabilities=[])).evaluation
    assert (found.verdict, found.decisions) == ("pass", 800)


def test_contexts_of_other_features_and_broken_rewards_are_left_out_and_told(shop: Application) -> None:
    other = records(shop, 20, seed=3, context=[1.0, 2.0, 3.0])
    broken = records(shop, 10, seed=4, reward=float("inf"))
    found = judge(shop, [*records(shop, 800), *other, *broken])
    assert (found.evaluation.verdict, found.evaluation.decisions) == ("pass", 800)
    assert [(each.name, each.value) for each in found.evaluation.reasons] == [
        ("schema-drift", 20.0),
        ("broken-reward", 10.0),
    ]


def test_what_it_was_trained_on_says_nothing_of_a_candidate(shop: Application) -> None:
    """Nor does a correction of a reward that it has seen, or one whose first reward it may have seen."""
    every = records(shop, 600)
    seen_before = {**every[0], "revision": 1, "previous_reward": every[0]["reward"]}
    forgotten = {**records(shop, 1, seed=9)[0], "revision": 1}
    known = Lineage(((Span(0, 0, 200), 0), (Span(1, 0, 10**6), 0)))
    found = judge(shop, [*every, seen_before, forgotten], known=known).evaluation
    assert found.decisions == 400
    since = Lineage(((Span(0, 0, 200), every[0]["decision_time"] + 10**6),))
    assert judge(shop, every, known=since).evaluation.decisions == 600


def test_a_candidate_has_seen_what_those_before_it_have_seen() -> None:
    first = candidate_of("a", lineage=(Span(0, 0, 10),), decided_from=5)
    second = candidate_of("b", lineage=(Span(0, 10, 20),), previous="a")
    third = candidate_of("c", lineage=(Span(0, 20, 30),), previous="b", requested_at=77)
    known = {("shop", each.candidate_id): each for each in (first, second, third)}
    assert lineage(third, known) == Lineage(((Span(0, 20, 30), 0), (Span(0, 10, 20), 0), (Span(0, 0, 10), 5)))
    assert lineage(third, {}).known_from == 77  # of what came before, the log does not tell any more
    assert lineage(candidate_of("d", lineage=(), requested_at=78), known) == Lineage((), 78)


def test_unknown_lineage_leaves_what_was_decided_since_the_request(shop: Application) -> None:
    old = records(shop, 300, decision_time=1000)
    new = records(shop, 200, seed=2, decision_time=3000)
    assert judge(shop, [*old, *new], known=Lineage((), 2000)).evaluation.decisions == 200


def test_open_windows_wait_where_rewards_come_early(tmp_path: Path) -> None:
    shop = applications(tmp_path, "reward: {wait: 10s, emission: on_interaction}\n")["shop"]
    found = [
        {**each, "decision_time": 1000 * n, "reward_time": 1000 * n + 1}
        for n, each in enumerate(records(shop, 300))
    ]
    assert judge(shop, found).evaluation.decisions == 290


def _with(parts: dict[str, float], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    named = [{"name": name, "value": value} for name, value in parts.items()]
    return [{**each, "components": named} for each in found]


def test_guards_are_judged_beside_the_reward(tmp_path: Path) -> None:
    more = "guards: [{metric: handover, higher_is_better: false, tolerance: 0.1}]\n"
    shop = applications(tmp_path, more)["shop"]
    found = records(shop, 1500)
    # Whoever sees the banner calls an agent more often.
    for n, each in enumerate(found):
        banner = each["decision"]["action"] == "banner"
        each["components"] = [{"name": "handover", "value": float(n % 10 < (8 if banner else 2))}]
    # This policy shows the banner to nearly everybody.
    made = policy(0.0)
    made = made.with_coefficients(np.array([[1.0, 0.0, 5.0], [-1.0, 0.0, -5.0]]))
    harmful = judge(shop, found, made).evaluation
    assert harmful.verdict == "fail"
    reward, handover = harmful.metrics
    assert handover.name == "handover"
    assert handover.verdict == "fail"
    assert handover.value > 0.7 > handover.baseline
    assert handover.low < handover.value < handover.high
    lacking = judge(shop, records(shop, 500)).evaluation
    assert (lacking.verdict, lacking.reasons[0].name) == ("refused", "missing-metric")
    assert reward.estimator == "dr"
    assert handover.estimator == "snips"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("evaluation: {least_reward: 0.97}\n", "least-reward"),
        ("guards: [{metric: reward, at_most: 0.9}]\n", "at-most"),
        ("guards: [{metric: cost, at_most: 2, higher_is_better: false, tolerance: 1}]\n", "at-most"),
        ("guards: [{metric: cost, at_least: 4, higher_is_better: false, tolerance: 1}]\n", "at-least"),
    ],
)
def test_hard_limits_fail_a_better_policy(tmp_path: Path, more: str, reason: str) -> None:
    shop = applications(tmp_path, more)["shop"]
    found = records(shop, 1000)
    for n, each in enumerate(found):
        each["components"] = [{"name": "cost", "value": 3.0 + n % 2}]
    judged = judge(shop, found)
    assert judged.evaluation.verdict == "fail"
    assert reason in reasons(judged)
    lenient = applications(tmp_path, "guards: [{metric: reward, at_most: 0.9, samples: 5000}]\n")["shop"]
    assert judge(lenient, found).evaluation.verdict == "pass"  # limits wait for their samples


def test_a_named_baseline_is_what_is_to_be_beaten(tmp_path: Path) -> None:
    shop = applications(tmp_path, "evaluation: {baseline: 0.99}\n")["shop"]
    found = judge(shop, records(shop, 1000)).evaluation
    assert found.verdict == "fail"
    assert found.metrics[0].baseline == 0.99


def test_widening_moves_both_ends_away_and_may_take_a_verdict_back(shop: Application) -> None:
    found = records(shop, 600)
    plain, wide = (judge(shop, found, widening=factor).evaluation for factor in (1.0, 40.0))
    assert (plain.verdict, wide.verdict, wide.widening) == ("pass", "inconclusive", 40.0)
    one, other = plain.metrics[0], wide.metrics[0]
    assert other.value == one.value
    for name, centre in (
        ("difference_low", "difference"),
        ("difference_high", "difference"),
        ("low", "value"),
    ):
        apart = getattr(one, name) - getattr(one, centre)
        assert getattr(other, name) - getattr(other, centre) == pytest.approx(40 * apart)


class Broken:
    """Answers with no distributions."""

    width, actions = 2, ("banner", "list")

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def probabilities(self, contexts: np.ndarray) -> np.ndarray:
        if isinstance(self._answer, Exception):
            raise self._answer
        return np.broadcast_to(np.array(self._answer), (len(contexts), len(self._answer)))


@pytest.mark.parametrize(
    "answer", [[0.5, 0.6], [1.0], [1.5, -0.5], [np.nan, 1.0], RuntimeError("a bug")], ids=str
)
def test_a_policy_that_answers_with_no_distribution_is_unusable(shop: Application, answer: Any) -> None:
    with pytest.raises(Unusable) as raised:
        judge(shop, records(shop, 200), Broken(answer))
    assert raised.value.name == "policy"


def test_a_reward_model_is_done_without_where_it_would_not_fit(
    shop: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.evaluator.logs.MODELLED_CELLS", 100)
    found = judge(shop, records(shop, 800)).evaluation
    assert (found.metrics[0].estimator, found.verdict) == ("snips", "pass")


def test_the_columns_without_rows_have_their_types() -> None:
    assert rewards.empty().schema["offset"] == pl.Int64
