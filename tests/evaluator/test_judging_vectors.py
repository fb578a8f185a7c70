"""Candidates whose action is a vector: what logged vectors say of them, and when they say nothing."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from services.evaluator import rewards
from services.evaluator.asking import Unusable
from services.evaluator.evaluating import about_candidate, judge
from services.evaluator.judging import Judged, settings_of
from services.evaluator.lineage import Lineage
from services.evaluator.pages import Pages
from services.evaluator.rewards import Logged
from shared.applications.contract import Application, VectorAction
from shared.applications.registry import load
from shared.wire.rollouts import read_evaluation
from shared.wire.training import Span
from tests.evaluator.world import applications, candidate_of, now_ms
from tests.online_bandit.rewards import raw, reward

NAMES = ("loud", "fast")
SPREAD = 0.7


class Vector:
    """Gives a multiple of the context."""

    width, names = 2, NAMES

    def __init__(self, slope: float = 0.7) -> None:
        self._slope = slope

    def action(self, contexts: np.ndarray) -> np.ndarray:
        return np.asarray(self._slope * contexts, np.float64)


@pytest.fixture
def shop(tmp_path: Path) -> Application:
    found: Any = applications(tmp_path)["shop"]
    found.vector_action = VectorAction("mix", NAMES)
    return found  # type: ignore[no-any-return]


def numbers(**values: float) -> list[dict[str, Any]]:
    return [{"name": name, "number": value, "text": None} for name, value in values.items()]


def decided(
    shop: Application, count: int, logged: bool = False, seed: int = 7, **changes: Any
) -> list[dict[str, Any]]:
    """Vectors around half the context; the nearer to the context, the better."""
    random, found = np.random.default_rng(seed), []
    for n in range(count):
        record = reward(shop, random, subject_id=f"s-{n}", decision_time=now_ms(), reward_time=now_ms())
        decision, context = record["decision"], np.array(record["decision"]["context"])
        vector = 0.5 * context + SPREAD * random.standard_normal(2)
        density = np.exp(-0.5 * (((vector - 0.5 * context) / SPREAD) ** 2).sum()) / (2 * np.pi * SPREAD**2)
        own = dict(zip(NAMES, vector.tolist(), strict=True)) | ({"density": density} if logged else {})
        decision |= {"action": "mix", "propensity": 1.0, "attributes": numbers(**own)} | changes
        record["reward"] = float(1 - ((vector - context) ** 2).sum() + 0.5 * random.standard_normal())
        found.append(record)
    return found


def judged(
    application: Application, found: list[dict[str, Any]], policy: Any = None, widening: float = 1.0
) -> Judged:
    read = [SimpleNamespace(value=raw(each), offset=n, partition=0) for n, each in enumerate(found)]
    log = Logged(rewards.decode(read, attributes=True)[0], (Span(0, 0, len(found)),))
    settings = settings_of(application.settings, widening, 5000.0)
    about = about_candidate(candidate_of("c" * 64), now_ms())
    about = replace(about, application=application.name)
    return judge(about, policy or Vector(), application, log, Lineage(()), settings)


def names(found: Judged) -> list[str]:
    return [each.name for each in found.evaluation.reasons]


def test_a_better_vector_passes_a_worse_one_fails_and_both_say_that_the_density_is_an_estimate(
    shop: Application,
) -> None:
    log = decided(shop, 4000)
    better, worse = (judged(shop, log, Vector(slope)) for slope in (0.7, 0.0))
    assert (better.evaluation.verdict, worse.evaluation.verdict) == ("pass", "fail")
    assert names(better) == ["estimated-density"]
    told = better.evaluation.reasons[0]
    assert "of 4000 of 4000 decisions no density was logged" in told.detail
    assert told.value == pytest.approx(4000**-0.25)
    assert better.evaluation.effective_sample_size > 100
    first = better.evaluation.metrics[0]
    assert (first.name, first.estimator) == ("reward", "dr-estimated-density")
    truth = 1 - 2 * 0.3**2  # the mean square of either feature is one
    assert first.low < truth < first.high
    assert read_evaluation(better.evaluation.encode()) == better.evaluation


def test_densities_that_were_logged_are_used(shop: Application) -> None:
    log = decided(shop, 4000, logged=True)
    found = judged(shop, log)
    assert (found.evaluation.verdict, names(found)) == ("pass", ["logged-density"])
    assert found.evaluation.metrics[0].estimator == "dr-logged-density"
    other = [{**each, "decision": {**each["decision"]}} for each in log]
    for each in other:
        *rest, density = each["decision"]["attributes"]
        each["decision"]["attributes"] = [*rest, {**density, "number": 2 * density["number"]}]
    # Twice the density is half the weight: they average a half, and are refused.
    halved = judged(shop, other).evaluation
    assert halved.max_weight == pytest.approx(found.evaluation.max_weight / 2)
    assert (halved.verdict, halved.reasons[0].name) == ("refused", "missing-support")


def test_how_far_its_vectors_are_from_the_logged_ones_is_told(shop: Application) -> None:
    log = decided(shop, 3000)
    (error,) = [each for each in judged(shop, log).evaluation.metrics if each.name == "action_mse"]
    contexts = np.array([each["decision"]["context"] for each in log])
    taken = np.array([[a["number"] for a in each["decision"]["attributes"]] for each in log])
    assert error.value == pytest.approx(((0.7 * contexts - taken) ** 2).mean(), rel=1e-6)
    assert error.low < error.value < error.high


def test_refusals_of_every_evaluation_hold_for_vectors(shop: Application) -> None:
    few = judged(shop, decided(shop, 600)).evaluation
    assert (few.verdict, few.decisions) == ("refused", 600)
    assert "effective-sample-size" in {each.name for each in few.reasons}
    away = judged(shop, decided(shop, 2000), Vector(6.0)).evaluation
    assert away.verdict == "refused"
    assert "missing-support" in {each.name for each in away.reasons}
    week = 8 * 86_400_000
    old = [{**each, "decision_time": now_ms() - week} for each in decided(shop, 4000)]
    assert names(judged(shop, old))[0] == "stale-window"


def test_too_few_vectors_wait_and_lists_alone_are_refused_with_their_number(shop: Application) -> None:
    waits = judged(shop, decided(shop, 99)).evaluation
    assert (waits.verdict, waits.reasons[0].name) == ("inconclusive", "few-decisions")
    random = np.random.default_rng(1)
    lists = [reward(shop, random, decision_time=now_ms()) for _ in range(300)]
    refused = judged(shop, lists).evaluation
    assert (refused.verdict, refused.reasons[0].name) == ("refused", "no-density")
    assert (refused.reasons[0].value, refused.reasons[0].limit) == (0.0, 100.0)
    assert "none of 300 decisions" in refused.reasons[0].detail


def test_vectors_given_for_certain_and_broken_ones_are_left_out_and_told(shop: Application) -> None:
    sound = decided(shop, 3000)
    certain = decided(shop, 40, seed=1, actions=["mix"], probabilities=[1.0])
    lacking = decided(shop, 30, seed=2, attributes=numbers(loud=1.0))
    broken = decided(shop, 20, seed=3, attributes=numbers(loud=1.0, fast=1.0, density=0.0))
    other = decided(shop, 10, seed=4, context=[1.0])
    found = judged(shop, [*sound, *certain, *lacking, *broken, *other])
    assert found.evaluation.decisions == 3000
    told = {each.name: each.value for each in found.evaluation.reasons}
    assert told["no-density"] == 40
    assert told["broken-action"] == 30
    assert told["broken-density"] == 20
    assert told["schema-drift"] == 10


def test_the_bandwidth_is_a_setting(tmp_path: Path) -> None:
    found: Any = applications(tmp_path, "evaluation: {bandwidth: 0.3}\n")["shop"]
    found.vector_action = VectorAction("mix", NAMES)
    told = judged(found, decided(found, 3000)).evaluation.reasons
    assert [each.value for each in told if each.name == "estimated-density"] == [0.3]


class Broken(Vector):
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def action(self, contexts: np.ndarray) -> np.ndarray:
        if isinstance(self._answer, Exception):
            raise self._answer
        return np.broadcast_to(np.array(self._answer, np.float64), (len(contexts), len(self._answer)))


@pytest.mark.parametrize("answer", [[1.0], [np.nan, 1.0], RuntimeError("a bug")], ids=str)
def test_a_policy_that_answers_with_no_vectors_is_unusable(shop: Application, answer: Any) -> None:
    with pytest.raises(Unusable) as told:
        judged(shop, decided(shop, 200), Broken(answer))
    assert told.value.name == "policy"


def test_a_page_says_what_the_weights_rest_on(shop: Application, tmp_path: Path) -> None:
    found = judged(shop, decided(shop, 3000))
    address = Pages(tmp_path, "http://here").write(found)
    page = Pages(tmp_path, "").path("shop", "c" * 64).read_text()
    assert address.startswith("http://here")
    assert "no density was logged: it is an estimate" in page
    assert f'class="verdict {found.evaluation.verdict}"' in page


def test_rankings_by_presets_alone_say_nothing_of_weights_between_them() -> None:
    ranking = load()["search_ranking"]

    class Weights:
        width = ranking.context_width
        names = ranking.vector_action.numbers if ranking.vector_action else ()

        def action(self, contexts: np.ndarray) -> np.ndarray:
            return np.full((len(contexts), 7), 1 / 7)

    random = np.random.default_rng(2)
    old = now_ms() - 7_300_000  # their windows are closed
    log = [reward(ranking, random, decision_time=old, reward_time=now_ms()) for _ in range(200)]
    found = judged(ranking, log, Weights()).evaluation
    assert (found.verdict, found.reasons[0].name) == ("refused", "no-density")
