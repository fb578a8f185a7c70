"""Language models as candidates: judged by what their artefacts hold of held-out questions, row by row.

Their trainer scored the rows; all else (means, intervals, length control, refusals) is worked out here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from services.evaluator.artefacts import parts
from services.evaluator.asking import check, unusable_if_broken
from services.evaluator.held_out_rows import (
    BEFORE,
    LENGTH,
    questions,
    right_by_length,
    shown_answers,
    shown_pairs,
)
from services.evaluator.judging import metric, reasons_of, refused
from shared.algorithms.artefacts import Artefact
from shared.algorithms.language import held_out
from shared.algorithms.language.held_out import JUDGES, OWN, Answers, Pairs
from shared.algorithms.registry import algorithms
from shared.algorithms.serving import is_served
from shared.core.arrays import Floats
from shared.core.estimators.limits import Limits, Reason
from shared.core.estimators.outcomes import preferred
from shared.core.estimators.preferences import Comparison, answers, pairs
from shared.core.estimators.refusals import reward_reasons
from shared.core.estimators.settings import Settings
from shared.core.estimators.verdict import Guard, Judgement, Verdict, judge, overall
from shared.evaluation.report import HeldOutRows
from shared.wire.rollouts import Evaluation
from shared.wire.training import Candidate

HELD_OUT = "held-out"
"""The estimator's name: means over held-out rows."""
REWARD_MODEL = "reward_model"
CHANCE = 0.5
JUDGE_ACCURACY = "reward_model_accuracy"


def is_language(candidate: Candidate) -> bool:
    """Whether a candidate's algorithm is known, and its policies are not served from files."""
    return candidate.algorithm in algorithms() and not is_served(candidate.algorithm)


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """An evaluation, and the rows that it rests on; None where they say nothing."""

    evaluation: Evaluation
    rows: HeldOutRows | None = None


def judge_language(about: Evaluation, candidate: Candidate, settings: Settings) -> JudgedRows:
    """Judge a candidate by its own held-out rows; `about` names it. Raises Unusable, Unreachable."""
    with (
        unusable_if_broken(candidate),
        parts(candidate.artefact, candidate.candidate_id, [*OWN, *JUDGES]) as artefact,
    ):
        check(artefact, candidate)
        own, judges = (_rows(artefact, names) for names in (OWN, JUDGES))
    if own is None:
        detail = f"the artefact holds no rows of held-out questions ({' or '.join(OWN)})"
        return JudgedRows(refused(about, "no-held-out", detail))
    if isinstance(own, Answers):
        return JudgedRows(_judged_answers(about, own, judges, settings), shown_answers(own))
    if candidate.algorithm == REWARD_MODEL:
        found = _decided(about, "accuracy", _over_length(own, settings), (), settings)
        detail = "a reward model decides nothing: its figures are told, and it is not rolled out"
        told = refused(found, "no-policy", detail)
        shown = shown_pairs(own, preferred(own.chosen, own.rejected), right_by_length(own), LENGTH)
        return JudgedRows(replace(told, reasons=(*told.reasons, *found.reasons)), shown)
    return _judged_pairs(about, own, settings)


def _rows(artefact: Artefact, names: tuple[str, ...]) -> Answers | Pairs | None:
    present = [name for name in names if name in artefact.manifest.files]
    return held_out.read(artefact.folder / present[0]) if present else None


def _judged_answers(
    about: Evaluation, rows: Answers, judges: Answers | Pairs | None, settings: Settings
) -> Evaluation:
    """By the scores of a reward model, as far as that can be believed."""
    found = answers(
        rows.before,
        rows.after,
        rows.before_length,
        rows.after_length,
        questions(rows),
        resamples=settings.resamples,
        alpha=settings.alpha,
        seed=settings.seed,
    )
    doubts = [*_divergence(rows)]
    if not isinstance(judges, Pairs):
        detail = "nothing tells how often the reward model that scored the answers is right about pairs"
        return _decided(
            about, "score", found, (*doubts, Reason("reward-model", None, CHANCE, detail)), settings
        )
    judge_figures = _over_length(judges, settings)
    low = judge_figures.value.interval.low
    if not low > CHANCE:
        detail = (
            f"the reward model that scored the answers is right about {judge_figures.value.value:.3g} of "
            f"{judge_figures.value.rows} held-out pairs, which is not more than chance (lower end beside it)"
        )
        doubts.append(Reason("reward-model", low, CHANCE, detail))
    decided = _decided(about, "score", found, tuple(doubts), settings)
    of_judge = metric(_told(JUDGE_ACCURACY, judge_figures, Verdict.INCONCLUSIVE), HELD_OUT)
    return replace(decided, metrics=(*decided.metrics, of_judge))


def _divergence(rows: Answers) -> Iterator[Reason]:
    if rows.divergence > rows.largest_divergence or rows.ran_away:
        ended = "; training was ended because it ran away" if rows.ran_away else ""
        detail = (
            f"{rows.divergence:.3g} nats per token from the model before{ended}: the reward model has learnt "
            "nothing of answers so far from those that people judged"
        )
        yield Reason("divergence", rows.divergence, rows.largest_divergence, detail)


def _judged_pairs(about: Evaluation, rows: Pairs, settings: Settings) -> JudgedRows:
    """By how often the preferred answer is the likelier one, more often than before."""
    if rows.base_chosen is None or rows.base_rejected is None:
        detail = "the model before was not measured on the held-out pairs: train with compare_base"
        return JudgedRows(refused(about, "no-baseline", detail))
    right = preferred(rows.chosen, rows.rejected)
    base = preferred(rows.base_chosen, rows.base_rejected)
    found = _decided(about, "accuracy", _pairs(rows, right, base, settings), (), settings)
    return JudgedRows(found, shown_pairs(rows, right, base, BEFORE))


def _over_length(rows: Pairs, settings: Settings) -> Comparison:
    """How often scores are right, against preferring by length alone."""
    return _pairs(rows, preferred(rows.chosen, rows.rejected), right_by_length(rows), settings)


def _pairs(rows: Pairs, right: Floats, base: Floats, settings: Settings) -> Comparison:
    longer = np.subtract(rows.chosen_length, rows.rejected_length)
    return pairs(
        right,
        base,
        longer,
        questions(rows),
        resamples=settings.resamples,
        alpha=settings.alpha,
        seed=settings.seed,
    )


def _decided(
    about: Evaluation, name: str, found: Comparison, doubts: tuple[Reason, ...], settings: Settings
) -> Evaluation:
    """Both gains have to be there: as it is, and at equal length."""
    refusals = [*doubts, *_refusals(found, settings.limits)]
    gains = ((name, found.gain), (f"{name}_at_equal_length", found.at_equal_length))
    judgements = [
        replace(
            judge(
                Guard(label),
                found.baseline.value,
                gain.value,
                gain.interval.around(gain.value, settings.widening),
                gain.rows,
                refusals,
            ),
            value=found.baseline.value + gain.value,
            ends=found.value.interval,
        )
        for label, gain in gains
    ]
    verdict = overall(judgements)
    reasons = list(dict.fromkeys(reason for each in judgements for reason in each.reasons))
    if judgements[0].verdict is Verdict.PASS and judgements[1].verdict is not Verdict.PASS:
        detail = "answers score higher, and length alone may be why: at equal length nothing is shown"
        value = found.at_equal_length.interval.low
        reasons.insert(0, Reason("only-length", value, 0.0, detail))
    return replace(
        about,
        verdict=verdict.value,
        reasons=reasons_of(reasons),
        widening=settings.widening,
        decisions=found.gain.rows,
        effective_sample_size=float(found.gain.units),
        max_weight=1.0,
        metrics=tuple(metric(each, HELD_OUT) for each in judgements),
    )


def _refusals(found: Comparison, limits: Limits) -> Iterator[Reason]:
    if found.gain.units < limits.units:
        detail = "too few held-out questions to resample"
        yield Reason("few-units", found.gain.units, limits.units, detail)
    yield from reward_reasons(found.deviations, found.gain.value, limits)


def _told(name: str, found: Comparison, verdict: Verdict) -> Judgement:
    gain = found.gain
    return Judgement(
        Guard(name),
        found.baseline.value,
        gain.value,
        gain.interval,
        verdict,
        (),
        found.value.value,
        found.value.interval,
    )
