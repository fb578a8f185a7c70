"""Language models as candidates: judged by the rows that their artefacts hold, without a model."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from services.evaluator.asking import Unusable
from services.evaluator.calibration import Calibration
from services.evaluator.evaluating import about_candidate
from services.evaluator.judging import settings_of
from services.evaluator.language import JudgedRows, is_language, judge_language
from services.evaluator.pages import Pages
from shared.algorithms.artefacts import Artefact, digests, write
from shared.algorithms.language import held_out
from shared.algorithms.language.held_out import Answers, Pairs
from shared.algorithms.manifest import Manifest
from shared.applications.registry import load
from shared.evaluation.report.charts import number
from shared.wire.rollouts import Evaluation, read_evaluation
from tests.evaluator.world import candidate

ASSISTANT = load()["assistant"]
QUESTIONS = tuple(range(300))


def artefact(root: Path, algorithm: str, own: Any = None, judges: Any = None, where: Any = None) -> Artefact:
    """A folder as the trainer leaves it, less the weights."""

    def build(folder: Path) -> Manifest:
        (folder / "config.json").write_text("{}")
        for name, rows in zip(where or (held_out.OWN[0], held_out.JUDGES[0]), (own, judges), strict=True):
            if rows is not None:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(rows.model_dump_json())
        application = "dashboard_widgets" if algorithm == "dpo" else "assistant"
        return Manifest(
            application=application,
            algorithm=algorithm,
            parameters={},
            seed=0,
            inputs={},
            lineage=[],
            metrics={"better": 1.0},  # what a trainer says of itself decides nothing
            libraries={},
            files=digests(folder),
        )

    return write(root, build)


def answered(gain: float = 0.5, grown: int = 0, worth: float = 0.0, **changes: Any) -> Answers:
    """Answers whose score grows by `gain`, and by `worth` for each of `grown` tokens more."""
    draw = np.random.default_rng(1)
    short = draw.integers(10, 30, 300).astype(float)
    long = draw.integers(10, 30, 300) + float(grown)
    before, after = (worth * each + draw.standard_normal(300) for each in (short, long))
    given: dict[str, Any] = {"divergence": 0.05, "largest_divergence": 0.1, **changes}
    return Answers(
        question=QUESTIONS,
        before=tuple(before),
        after=tuple(after + gain),
        before_length=tuple(short),
        after_length=tuple(long),
        **given,
    )


def scored(accuracy: float = 0.8, base: float | None = None, rows: int = 300) -> Pairs:
    draw = np.random.default_rng(2)

    def scores(share: float) -> tuple[float, ...]:
        return tuple(np.where(draw.random(rows) < share, 1.0, -1.0).tolist())

    ends = {} if base is None else {"base_chosen": scores(base), "base_rejected": (0.0,) * rows}
    return Pairs(
        question=tuple(range(rows)),
        chosen=scores(accuracy),
        rejected=(0.0,) * rows,
        chosen_length=tuple(draw.integers(5, 90, rows).tolist()),
        rejected_length=tuple(draw.integers(5, 90, rows).tolist()),
        **ends,  # type: ignore[arg-type]
    )


def rows_of(made: Artefact, **changes: Any) -> JudgedRows:
    sent = candidate(made, **changes)
    assert is_language(sent)
    return judge_language(about_candidate(sent, 7), sent, settings_of(ASSISTANT.settings, 1.0, 5000.0))


def judged(made: Artefact, **changes: Any) -> Evaluation:
    return rows_of(made, **changes).evaluation


def names(found: Evaluation) -> list[str]:
    return [each.name for each in found.reasons]


def test_a_policy_whose_answers_score_higher_at_equal_length_passes(tmp_path: Path) -> None:
    found = judged(artefact(tmp_path, "ppo", answered(), scored()))
    assert (found.verdict, found.reasons, found.decisions) == ("pass", (), 300)
    score, equal, judge = found.metrics
    assert (score.name, equal.name, judge.name) == ("score", "score_at_equal_length", "reward_model_accuracy")
    assert {score.estimator, equal.estimator, judge.estimator} == {"held-out"}
    assert score.difference_low < score.difference < score.difference_high
    assert score.difference == pytest.approx(0.5, abs=0.2)
    assert 0.7 < judge.low < judge.value < judge.high < 0.9
    assert read_evaluation(found.encode()) == found


def test_a_policy_whose_answers_score_lower_fails(tmp_path: Path) -> None:
    found = judged(artefact(tmp_path, "ppo", answered(-0.6), scored()))
    assert (found.verdict, found.reasons[0].name) == ("fail", "worse-than-baseline")


def test_a_policy_that_only_grew_longer_does_not_pass(tmp_path: Path) -> None:
    found = judged(artefact(tmp_path, "ppo", answered(0.0, grown=10, worth=0.1), scored()))
    assert (found.verdict, found.reasons[0].name) == ("inconclusive", "only-length")
    assert found.metrics[0].difference_low > 0 > found.metrics[1].difference_low


def test_both_folders_of_the_continuous_learner_are_read(tmp_path: Path) -> None:
    where = (held_out.OWN[1], held_out.JUDGES[1])
    found = judged(artefact(tmp_path, "continuous", answered(), scored(), where))
    assert found.verdict == "pass"
    assert found.metrics[-1].name == "reward_model_accuracy"


@pytest.mark.parametrize(
    ("own", "judges", "reason"),
    [
        (answered(divergence=0.3), scored(), "divergence"),
        (answered(ran_away=True), scored(), "divergence"),
        (answered(), scored(0.5), "reward-model"),
        (answered(), None, "reward-model"),
        (None, scored(), "no-held-out"),
    ],
    ids=["far away", "ran away", "a judge who guesses", "no judge", "no rows"],
)
def test_what_no_judge_can_be_believed_about_is_refused(
    tmp_path: Path, own: Any, judges: Any, reason: str
) -> None:
    found = judged(artefact(tmp_path, "ppo", own, judges))
    assert (found.verdict, found.reasons[0].name) == ("refused", reason)


@pytest.mark.parametrize(
    ("accuracy", "base", "verdict"), [(0.9, 0.6, "pass"), (0.5, 0.9, "fail"), (0.7, 0.69, "inconclusive")]
)
def test_an_adapter_is_judged_by_pairs_against_its_base(
    tmp_path: Path, accuracy: float, base: float, verdict: str
) -> None:
    found = judged(artefact(tmp_path, "dpo", scored(accuracy, base)))
    assert found.verdict == verdict
    assert [each.name for each in found.metrics] == ["accuracy", "accuracy_at_equal_length"]
    assert found.metrics[0].value == pytest.approx(accuracy, abs=0.08)
    assert found.metrics[0].baseline == pytest.approx(base, abs=0.08)


def test_few_questions_and_no_base_are_refused_by_name(tmp_path: Path) -> None:
    few = judged(artefact(tmp_path, "dpo", scored(0.9, 0.5, rows=20)))
    assert (few.verdict, few.reasons[0].name, few.reasons[0].value) == ("refused", "few-units", 20.0)
    alone = judged(artefact(tmp_path, "dpo", scored(0.9)))
    assert (alone.verdict, names(alone)) == ("refused", ["no-baseline"])


def test_a_reward_model_has_its_figures_and_is_never_rolled_out(tmp_path: Path) -> None:
    found = judged(artefact(tmp_path, "reward_model", scored(0.9)))
    assert (found.verdict, found.reasons[0].name) == ("refused", "no-policy")
    accuracy = found.metrics[0]
    assert accuracy.name == "accuracy"
    assert accuracy.value == pytest.approx(0.9, abs=0.05)
    assert accuracy.baseline == pytest.approx(0.5, abs=0.1)  # by length alone
    assert accuracy.difference_low > 0.2


def test_rows_are_verified_against_the_manifest_wherever_they_are(tmp_path: Path) -> None:
    made = artefact(tmp_path / "made", "ppo", answered(), scored())
    files = fsspec.filesystem("memory")
    files.put(str(made.folder), f"/{made.id}", recursive=True)
    address = f"memory://{made.id}"
    assert judged(made, artefact=address) == replace(judged(made), artefact=address)
    files.pipe_file(f"/{made.id}/held_out.json", answered(9.0).model_dump_json().encode())
    with pytest.raises(Unusable, match=r"held_out\.json: is not the file of the manifest"):
        judged(made, artefact=address)


@pytest.mark.parametrize("text", ["{}", '{"kind": "pairs", "question": [0], "chosen": []}', "[1"])
def test_rows_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    class Raw:
        def model_dump_json(self) -> str:
            return text

    with pytest.raises(Unusable) as told:
        judged(artefact(tmp_path, "ppo", Raw(), scored()))
    assert told.value.name == "artefact"


def test_scores_of_answers_are_not_compared_with_what_users_gave(tmp_path: Path) -> None:
    told = judged(artefact(tmp_path, "ppo", answered(), scored()))
    users = replace(told.metrics[0], name="reward", difference=-9.0)
    found = Calibration(0.05, 5000.0)
    found.learn(replace(told, kind="stage", metrics=(users,)), {"log": told})
    assert found.widening == 1.0


class Parts(HTMLParser):
    """Titles of figures, and how many bars and lines of tables each has."""

    def __init__(self) -> None:
        super().__init__()
        self.figures: dict[str, dict[str, int]] = {}
        self.cells: list[str] = []
        self._open = ""
        self._name = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        if self._name and tag in ("circle", "tr"):
            self.figures[self._name][tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "figure":
            self._name = ""

    def handle_data(self, data: str) -> None:
        if self._open == "h2" and data.strip():
            self._name = data
            self.figures[data] = {"circle": 0, "tr": 0}
        elif self._open in ("td", "dd", "dt"):
            self.cells.append(data)
        self._open = ""


def page_of(tmp_path: Path, found: JudgedRows) -> tuple[str, Parts]:
    pages = Pages(tmp_path / "pages", "http://reports")
    address = pages.write_rows(found, 0.05)
    told = found.evaluation
    assert address == f"http://reports/v1/evaluations/{told.application}/{told.candidate_id}/report"
    text = pages.path(told.application, told.candidate_id).read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import|<script", text)
    parts = Parts()
    parts.feed(text)
    return text, parts


def test_the_page_of_a_policy_shows_gains_length_control_its_judge_and_the_rows(tmp_path: Path) -> None:
    found = rows_of(artefact(tmp_path, "ppo", answered(grown=20, worth=0.1, gain=0), scored()))
    text, parts = page_of(tmp_path, found)
    assert found.evaluation.verdict in text
    assert "only-length" in text
    bars = {name: each["circle"] for name, each in parts.figures.items()}
    assert bars == {
        "Gains": 2,
        "Score": 1,
        "Reward model accuracy": 1,
        "Length control": 5,
        "Held-out rows": 0,
    }
    assert parts.figures["Held-out rows"]["tr"] == 41
    for metric in found.evaluation.metrics:
        assert metric.name in parts.cells
        assert f"[{number(metric.low)}, {number(metric.high)}]" in parts.cells
    assert {"held-out rows", "300", "0.05 of 0.1"} <= set(parts.cells)


def test_the_page_of_an_adapter_shows_its_accuracy_and_one_of_few_rows_all_of_them(tmp_path: Path) -> None:
    found = rows_of(artefact(tmp_path, "dpo", scored(0.9, base=0.5, rows=30)))
    _, parts = page_of(tmp_path, found)
    accuracy = found.evaluation.metrics[0]
    assert f"[{number(accuracy.low)}, {number(accuracy.high)}]" in parts.cells
    assert parts.figures["Held-out rows"]["tr"] == 31
    assert parts.figures["Accuracy"]["circle"] == 1


def test_a_reward_model_has_a_page_and_what_has_no_baseline_none(tmp_path: Path) -> None:
    text, _ = page_of(tmp_path, rows_of(artefact(tmp_path / "a", "reward_model", scored(0.9))))
    assert "against length alone" in text
    alone = rows_of(artefact(tmp_path / "b", "dpo", scored(0.9)))
    assert Pages(tmp_path / "none", "http://reports").write_rows(alone, 0.05) == ""
    assert not (tmp_path / "none").exists()


def test_rows_of_one_length_are_one_group(tmp_path: Path) -> None:
    rows = answered().model_copy(update={"after_length": (9.0,) * 300, "before_length": (9.0,) * 300})
    _, parts = page_of(tmp_path, rows_of(artefact(tmp_path, "ppo", rows, scored())))
    assert parts.figures["Length control"]["circle"] == 1
