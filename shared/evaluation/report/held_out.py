"""The page of a language model that was judged by rows of held-out questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.hashing import Hashes
from shared.core.estimators.outcomes import mean
from shared.evaluation.report.charts import Bar, intervals, number
from shared.evaluation.report.page import figure, filled
from shared.wire.rollouts import Evaluation, MetricEstimate

BINS = 5
"""Groups of rows by length."""
SHOWN = 20
"""Rows shown at either end."""


@dataclass(frozen=True, eq=False)
class HeldOutRows:
    """n rows, beside what they are compared with; `baseline` says what that is."""

    baseline: str
    gain: Floats
    """(n,) the candidate's score less the baseline's."""
    longer: Floats
    """(n,) by how much longer the candidate's answer is, or of a pair the preferred one; in `unit`."""
    unit: str
    question: Hashes
    columns: Mapping[str, Floats]
    """What is shown of each row, (n,) each."""
    facts: Mapping[str, str]
    """What else there is to say, by name."""


def write_held_out(
    path: Path, rows: HeldOutRows, found: Evaluation, name: str, chances: Mapping[str, float], alpha: float
) -> None:
    """Write the page. Raises OSError.

    Args:
        path: where.
        rows: by which the candidate was judged.
        found: what was made of them; its first metrics are gains over the baseline.
        name: of the candidate, for the title.
        chances: of the metrics that describe a judge, what blind guessing would reach.
        alpha: intervals hold the truth with probability 1 - alpha.
    """
    reasons = "".join(f"<p>{escape(each.name)}: {escape(each.detail)}</p>" for each in found.reasons)
    page = filled(
        title=f"Evaluation of {escape(name)}",
        verdict=found.verdict,
        judged=f"by held-out rows against {escape(rows.baseline)}, {100 * (1 - alpha):g} % intervals",
        reasons=reasons,
        numbers="".join(_numbers(rows)),
        figures="".join(_figures(rows, found, chances, alpha)),
    )
    path.write_text(page, encoding="utf-8")


def _numbers(rows: HeldOutRows) -> Iterator[str]:
    counts = {"held-out rows": f"{len(rows.gain):,}", "questions": f"{len(np.unique(rows.question)):,}"}
    for name, value in {**counts, **rows.facts}.items():
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"


def _figures(
    rows: HeldOutRows, found: Evaluation, chances: Mapping[str, float], alpha: float
) -> Iterator[str]:
    gains = [each for each in found.metrics if each.name not in chances]
    yield figure(
        "Gains",
        f"Candidate less {escape(rows.baseline)}, as it is and at equal length; the dashed line is none.",
        intervals([Bar(e.name, e.difference, e.difference_low, e.difference_high) for e in gains], 0.0),
    )
    if gains:
        first = gains[0]
        yield figure(
            first.name.capitalize(),
            f"The candidate's; the dashed line is that of {escape(rows.baseline)}.",
            intervals([Bar(first.name, first.value, first.low, first.high)], first.baseline),
        )
    for judge in (each for each in found.metrics if each.name in chances):
        yield figure(
            judge.name.replace("_", " ").capitalize(),
            "How often who scored the answers is right about pairs of people; the dashed line is chance.",
            intervals([Bar(judge.name, judge.value, judge.low, judge.high)], chances[judge.name]),
        )
    yield _table(found.metrics)
    yield figure(
        "Length control",
        "Mean gain of rows by how much longer the candidate's answer, or a pair's preferred one, is: a gain "
        "that is there only where answers are longer is length's.",
        intervals(list(_by_length(rows, alpha)), 0.0),
    )
    yield _rows(rows)


def _by_length(rows: HeldOutRows, alpha: float) -> Iterator[Bar]:
    cuts = np.unique(np.quantile(rows.longer, np.arange(1, BINS) / BINS))
    place = np.searchsorted(cuts, rows.longer, side="left")
    for each in np.unique(place):
        mine = place == each
        longer, question = rows.longer[mine], rows.question[mine]
        if len(np.unique(question)) > 1:
            found = mean(rows.gain[mine], question, alpha=alpha)
            name = f"{longer.min():+.0f} to {longer.max():+.0f} {rows.unit}"
            yield Bar(name, found.value, found.interval.low, found.interval.high)


def _table(metrics: Iterable[MetricEstimate]) -> str:
    head = "<tr><th>metric<th>value<th>interval<th>baseline<th>difference<th>interval<th>verdict</tr>"
    lines = [
        f"<tr><td>{escape(each.name)}<td>{number(each.value)}<td>[{number(each.low)}, {number(each.high)}]"
        f"<td>{number(each.baseline)}<td>{number(each.difference)}"
        f"<td>[{number(each.difference_low)}, {number(each.difference_high)}]"
        f'<td class="{each.verdict}">{each.verdict}</tr>'
        for each in metrics
    ]
    return f'<div class="card"><table>{head}{"".join(lines)}</table></div>'


def _rows(rows: HeldOutRows) -> str:
    order = np.argsort(rows.gain, kind="stable")
    ends = order if len(order) <= 2 * SHOWN else np.concatenate([order[:SHOWN], order[-SHOWN:]])
    head = "".join(f"<th>{escape(name)}" for name in ("question", *rows.columns, "gain"))
    lines = [f"<tr>{''.join(_cells(rows, int(place)))}</tr>" for place in ends]
    caption = (
        f"The {len(lines)} of {len(order):,} rows that lose and gain most, by the number of their question."
    )
    return figure("Held-out rows", caption, f"<table><tr>{head}</tr>{''.join(lines)}</table>")


def _cells(rows: HeldOutRows, place: int) -> Iterator[str]:
    yield f"<td>{int(rows.question[place])}"
    values = [*(each[place] for each in rows.columns.values()), rows.gain[place]]
    yield from (f"<td>{number(float(value))}" for value in values)
