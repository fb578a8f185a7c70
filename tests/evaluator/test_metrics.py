"""What products call success, of logged decisions and of candidates."""

from math import log2
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from services.evaluator import metrics, rewards
from services.evaluator.evaluating import about_candidate
from services.evaluator.judging import judge_log, settings_of
from services.evaluator.lineage import Lineage
from services.evaluator.pages import Pages
from services.evaluator.rewards import Logged
from shared.applications.outcomes import metrics_of
from shared.applications.registry import load
from shared.core.estimators.outcomes import ndcg_at
from tests.evaluator.world import candidate_of, now_ms
from tests.online_bandit.rewards import raw, reward

APPLICATIONS = load()


def frame_of(records: list[dict[str, Any]]) -> Any:
    read = [SimpleNamespace(value=raw(each), offset=n, partition=0) for n, each in enumerate(records)]
    return rewards.decode(read)[0]


def components(**values: float) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def row(application: str, **values: float) -> dict[str, float]:
    """The metrics of one decision with these components."""
    record = reward(APPLICATIONS[application], np.random.default_rng(0), components=components(**values))
    return {name: float(each[0]) for name, each in metrics.told(frame_of([record]), application, ()).items()}


def hits(*ranks: int) -> dict[str, float]:
    """Components of a search with hits at these ranks."""
    return {"hits": len(ranks), "dcg_at_10": sum(1 / log2(1 + rank) for rank in ranks if rank <= 10)}


def test_rankings_are_measured_by_their_definitions() -> None:
    bought = row(
        "search_ranking", purchase=4.0, first_rank=3, hits_at_5=1, hits_at_10=1, revenue=199.0, **hits(3)
    )
    assert bought == {
        "conversion": 1.0,
        "mrr": pytest.approx(1 / 3),
        "precision_at_5": pytest.approx(0.2),
        "precision_at_10": pytest.approx(0.1),
        "ndcg_at_10": pytest.approx(0.5),
        "revenue_per_session": 199.0,
    }
    nothing = row("search_ranking", purchase=0, first_rank=0, hits_at_5=0, hits_at_10=0, revenue=0, **hits())
    assert set(nothing.values()) == {0.0}
    several = row("search_ranking", first_rank=1, hits_at_5=2, **hits(1, 4, 12))
    ranking = np.eye(12)[[0, 3, 11]].sum(axis=0, keepdims=True)
    assert several["ndcg_at_10"] == pytest.approx(ndcg_at(ranking, 10)[0])
    assert several["precision_at_5"] == 0.4
    late = row("search_ranking", purchase=0, first_rank=12, hits_at_5=0, hits_at_10=0, revenue=0, **hits(12))
    assert (late["mrr"], late["ndcg_at_10"]) == (pytest.approx(1 / 12), 0.0)


@pytest.mark.parametrize(
    ("application", "values", "wanted"),
    [
        ("entertainment", {"interaction": 1.0}, {"like_rate": 1.0}),
        ("entertainment", {"interaction": 0.8}, {"like_rate": 0.0}),
        (
            "assistant",
            {"thumbs": 0, "rating": 0.5, "correction": 0},
            {"positive_rate": 1, "correction_rate": 0},
        ),
        (
            "assistant",
            {"thumbs": 0, "rating": 0, "correction": -1},
            {"positive_rate": 0, "correction_rate": 1},
        ),
        (
            "voice_assistant",
            {"resolution": 0.6, "handover": -0.1},
            {"resolution_rate": 1, "handover_rate": 1},
        ),
        ("voice_assistant", {"resolution": 0.0, "handover": 0.0}, {"resolution_rate": 0, "handover_rate": 0}),
        ("dashboard_widgets", {"up": 0.0, "down": -1.0}, {"like_rate": 0, "dislike_rate": 1}),
    ],
    ids=str,
)
def test_every_product_has_its_metrics(
    application: str, values: dict[str, float], wanted: dict[str, float]
) -> None:
    assert row(application, **values) == wanted


def test_applications_of_yaml_alone_have_those_that_they_guard() -> None:
    assert metrics_of("shop") == ()
    assert row("search_ranking").keys() == {each.name for each in metrics_of("search_ranking")}
    guarded = metrics.told(frame_of([]), "voice_assistant", ["resolution_rate"])
    assert list(guarded) == ["handover_rate"]


def test_what_not_every_decision_tells_is_left_out_and_said() -> None:
    found, reasons = metrics.whole({"a": np.array([1.0, 2.0]), "b": np.array([1.0, np.nan])})
    assert list(found) == ["a"]
    assert [(each.name, each.value) for each in reasons] == [("untold-metric", 1.0)]


class Always:
    """Gives the first variant to everybody."""

    def __init__(self, application: Any) -> None:
        self.actions, self.width = application.actions, application.context_width

    def probabilities(self, contexts: np.ndarray) -> np.ndarray:
        share = np.full((len(contexts), len(self.actions)), 0.02)
        share[:, 0] = 1 - 0.02 * (len(self.actions) - 1)
        return share


def test_a_candidates_evaluation_carries_them_with_intervals_and_they_decide_nothing(tmp_path: Any) -> None:
    calls = APPLICATIONS["voice_assistant"]
    random, records = np.random.default_rng(3), []
    for n in range(4000):
        first = n % len(calls.actions) == 0
        resolved, handed = random.random() < (0.9 if first else 0.4), random.random() < 0.1
        made = reward(
            calls,
            random,
            subject_id=f"s-{n}",
            action=calls.actions[n % len(calls.actions)],
            propensity=1 / len(calls.actions),
            components=components(resolution=0.6 * resolved, handover=-0.1 * handed),
            decision_time=now_ms() - 8_000_000,
            reward_time=now_ms(),
        )
        records.append(made | {"reward": 0.6 * resolved - 0.1 * handed})
    settings = settings_of(calls.settings, 1.0, 5000.0)
    about = about_candidate(candidate_of("c" * 64, application="voice_assistant"), now_ms())
    judged = judge_log(about, Always(calls), calls, Logged(frame_of(records), ()), Lineage(()), settings)
    by_name = {each.name: each for each in judged.evaluation.metrics}
    assert list(by_name) == ["reward", "resolution_rate", "handover_rate"]
    resolution, handover = by_name["resolution_rate"], by_name["handover_rate"]
    assert resolution.low < resolution.value < resolution.high
    assert resolution.value == pytest.approx(0.9 * 0.78 + 0.4 * 0.22, abs=0.06)
    assert resolution.baseline == pytest.approx(0.44, abs=0.03)
    assert resolution.difference_low > 0.2
    # Handovers are no fewer, and no fewer are asked for: the verdict is the reward's.
    assert handover.verdict != "pass"
    assert judged.evaluation.verdict == by_name["reward"].verdict == "pass"
    Pages(tmp_path, "").write(judged)
    page = Pages(tmp_path, "").path("voice_assistant", "c" * 64).read_text()
    assert "<h2>Metrics</h2>" in page
    assert "resolution_rate" in page
