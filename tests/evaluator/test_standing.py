"""Who is followed, what a look says, and when that is worth a record."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from services.evaluator import rewards, snapshots
from services.evaluator.evaluating import about_candidate
from services.evaluator.handlers import Standing
from services.evaluator.judging import settings_of
from services.evaluator.looking import look
from services.evaluator.shadow import Shadow
from services.evaluator.watching import Followed, worth_saying
from services.evaluator.weighing import Choosing
from shared.applications.contract import Application
from shared.wire.rollouts import Deployed, Deployment, Evaluation, Reason
from shared.wire.training import Span
from tests.evaluator.world import applications, candidate_of, policy, records
from tests.online_bandit.rewards import raw

DAY = timedelta(days=1)


@pytest.fixture
def shop(tmp_path: Path) -> Application:
    return applications(tmp_path)["shop"]


def evaluation(candidate: str, kind: Any = "log", verdict: Any = "inconclusive", **more: Any) -> Evaluation:
    given = {"at": 1, **more}
    return Evaluation(f"{kind}-{candidate}-{verdict}", "shop", candidate, kind, verdict, **given)


def followed(standing: Standing, most: int = 10, now: int = 1000) -> list[str]:
    return [each.candidate_id for each in standing.followed(now, DAY, most)]


def test_the_newest_that_still_have_a_chance_are_followed(shop: Application) -> None:
    standing = Standing({"shop": shop}, 5000.0)
    for n, name in enumerate("abcdefgh"):
        standing.learn_candidate(candidate_of(name, at=n))
    assert followed(standing) == []  # none is evaluated yet
    for name in "abcdefgh":
        standing.learn_evaluation(evaluation(name))
    assert followed(standing, 3) == ["h", "g", "f"]
    standing.learn_evaluation(evaluation("h", "shadow", "fail"))
    standing.learn_evaluation(replace(evaluation("g", "log", "refused"), reasons=(Reason("artefact", "?"),)))
    standing.learn_deployment(Deployment("shop", 1, 1, Deployed("f"), blocked=("e",)))
    assert followed(standing, 3) == ["d", "c", "b"]
    standing.learn_deployment(Deployment("shop", 2, 2, Deployed("default")))
    assert followed(standing) == ["f", "e", "d", "c", "b", "a"]
    assert followed(standing, now=86_400_000 + 4) == ["f", "e"]


def test_evaluations_of_others_and_copies_change_nothing(shop: Application) -> None:
    standing = Standing({"shop": shop}, 5000.0)
    standing.learn_evaluation(replace(evaluation("a"), application="unheard-of"))
    assert not standing.judged
    standing.learn_evaluation(evaluation("a", verdict="pass"))
    standing.learn_evaluation(replace(evaluation("a", verdict="pass"), verdict="fail"))
    assert standing.stood(candidate_of("a"))["log"].verdict == "pass"


def test_what_is_said_is_news() -> None:
    log, shadow = evaluation("a", verdict="pass"), evaluation("a", "shadow", "inconclusive", decisions=5)
    unsure = replace(shadow, decisions=6, at=50)
    assert not worth_saying(unsure, {"log": log}, 100)  # it does not take back a pass
    assert worth_saying(replace(unsure, verdict="fail"), {"log": log}, 100)
    assert worth_saying(unsure, {"log": replace(log, verdict="inconclusive")}, 100)
    stood = {"log": log, "shadow": shadow}
    assert not worth_saying(unsure, stood, 100)
    assert worth_saying(replace(unsure, at=101), stood, 100)
    assert not worth_saying(replace(unsure, at=101, decisions=5), stood, 100)
    assert worth_saying(replace(unsure, verdict="pass"), stood, 100)


def shadow_of(shop: Application, found: list[dict[str, Any]], slope: float = 1.0) -> Shadow:
    read = [SimpleNamespace(value=raw(each), offset=n, partition=0) for n, each in enumerate(found)]
    frame, _ = rewards.decode(read)
    guards = [guard.metric for guard in shop.settings.guards]
    made = Shadow.begin(candidate_of("c", started_at=1), Choosing(policy(slope), shop), guards, {0: 0})
    made.take(frame, 0, len(found), shop)
    for end in (len(found) // 2, len(found)):  # read again from the start: nothing counts twice
        made.take(frame.head(end), 0, end, shop)
    return made


def said(shop: Application, found: list[dict[str, Any]], slope: float = 1.0) -> Evaluation:
    settings = settings_of(shop.settings, 1.0, 5000.0)
    about = about_candidate(candidate_of("c"), 7)
    return look(about, shadow_of(shop, found, slope), settings, shop.settings)


def test_nothing_is_said_before_all_is_counted_that_was_told_of_or_there(shop: Application) -> None:
    made = shadow_of(shop, records(shop, 10))
    before = evaluation("c", "shadow", data=(Span(0, 0, 12),))
    assert Followed(made, {0: 10}).caught_up(None)
    assert not Followed(made, {0: 11}).caught_up(None)
    assert not Followed(made, {0: 10}).caught_up(before)


def test_a_look_waits_for_what_further_decisions_bring(shop: Application) -> None:
    few, some, enough = (said(shop, records(shop, number)) for number in (99, 101, 2000))
    assert (few.verdict, few.reasons[0].name) == ("inconclusive", "few-decisions")
    assert some.verdict in ("inconclusive", "pass")  # an effective sample below its limit will grow
    assert (enough.verdict, enough.decisions, enough.reasons) == ("pass", 2000, ())
    assert (enough.data[0].first, enough.data[0].next) == (0, 2000)
    assert said(shop, []).verdict == "inconclusive"


def test_a_look_is_wider_where_predictions_have_missed(shop: Application) -> None:
    made = shadow_of(shop, records(shop, 400))
    about = about_candidate(candidate_of("c"), 7)
    plain, wide = (
        look(about, made, settings_of(shop.settings, factor, 5000.0), shop.settings).metrics[0]
        for factor in (1.0, 3.0)
    )
    for low, high in (("low", "high"), ("difference_low", "difference_high")):
        apart = getattr(plain, high) - getattr(plain, low)
        assert getattr(wide, high) - getattr(wide, low) == pytest.approx(3 * apart)


def test_a_look_refuses_what_time_does_not_heal(shop: Application) -> None:
    lies = records(shop, 10, seed=2, propensity=0.25)
    found = said(shop, [*records(shop, 800), *lies])
    assert (found.verdict, found.decisions) == ("refused", 800)
    assert found.reasons[0].name == "unreproducible-propensities"
    only = said(shop, records(shop, 800, action="banner", propensity=1.0, probabilities=[1.0, 0.0]))
    assert only.verdict == "refused"
    assert "missing-support" in [each.name for each in only.reasons]


def test_a_look_at_guards_and_limits(tmp_path: Path) -> None:
    shop = applications(tmp_path, "guards: [{metric: cost, at_most: 2, tolerance: 1}]\n")["shop"]
    costly = [
        {**each, "components": [{"name": "cost", "value": 3.0 + n % 2}]}
        for n, each in enumerate(records(shop, 900))
    ]
    found = said(shop, costly)
    assert (found.verdict, found.reasons[0].name) == ("fail", "at-most")
    assert [each.name for each in found.metrics] == ["reward", "cost"]
    lacking = said(shop, records(shop, 900))
    assert (lacking.verdict, lacking.reasons[0].name) == ("refused", "missing-metric")


def test_a_confidence_sequence_covers_the_truth_at_every_look(shop: Application) -> None:
    """The truth is .45 above what was logged; five looks at each of 20 logs miss it in few of them."""
    settings = settings_of(shop.settings, 1.0, 1000.0)
    missed = 0
    for seed in range(20):
        found = records(shop, 750, seed=seed + 1)
        for end in range(150, 751, 150):
            (metric,) = look(
                about_candidate(candidate_of("c"), 7), shadow_of(shop, found[:end]), settings, shop.settings
            ).metrics
            if not metric.difference_low <= 0.45 <= metric.difference_high:
                missed += 1
                break
    assert missed <= 3


def test_snapshots_bring_back_everything_and_only_where_they_fit(shop: Application, tmp_path: Path) -> None:
    early = applications(
        tmp_path / "early",
        "reward: {wait: 10s, emission: on_interaction}\nguards: [{metric: cost, tolerance: 1}]\n",
    )["shop"]
    found = [
        {**each, "decision_time": 1000 * n + 1, "reward_time": 1000 * n + 1, "components": parts}
        for n, (each, parts) in enumerate(
            zip(records(shop, 200), [[{"name": "cost", "value": float(n)}] for n in range(200)], strict=True)
        )
    ]
    made = shadow_of(early, found)
    assert made.open
    snapshots.save(tmp_path, made)

    def restored(metrics: tuple[str, ...] = ("cost",), end: int = 200) -> Shadow:
        return snapshots.restore(
            tmp_path, Shadow.begin(made.candidate, made.weigher, metrics, {0: 0}), {0: end}
        )

    back = restored()
    assert (back.next, back.first, back.reached) == (made.next, made.first, made.reached)
    assert (back.parts, list(back.due)) == (made.parts, list(made.due))
    assert back.open.keys() == made.open.keys()
    for one, other in ((back.total, made.total), *((back.open[key], made.open[key]) for key in made.open)):
        assert np.array_equal(one.values, other.values)
        assert one.weights[0].effective_sample_size == other.weights[0].effective_sample_size
    assert restored(metrics=()).next == {0: 0}
    assert restored(end=199).next == {0: 0}  # the log that it was of is gone
