"""What the page says, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from shared.core.estimators.evaluation import Evaluation
from shared.core.estimators.measuring import Estimate
from shared.core.estimators.settings import Settings
from shared.core.estimators.weights import LOWEST, PER_OCTAVE, Weights
from shared.evaluation.report.charts import Bar, histogram, intervals, lines, number
from shared.evaluation.study import Study

TEMPLATE = Path(__file__).with_name("page.html")
ONE, TWO = '<span class="key one"></span>', '<span class="key two"></span>'


def write_report(
    path: Path,
    study: Study,
    settings: Settings,
    name: str,
    *,
    verdict: str | None = None,
    reasons: Iterable[tuple[str, str]] | None = None,
) -> None:
    """Write the page. Raises OSError.

    `verdict` and `reasons` (name, detail) are given where more than the log was judged.
    """
    found = study.evaluation
    if reasons is None:
        reasons = [(reason.name, reason.detail) for reason in found.reasons]
    page = filled(
        title=f"Evaluation of {escape(name)}",
        verdict=verdict or str(found.verdict),
        judged=f"by {found.decided_by} against {_baseline_name(found)}, "
        f"{100 * (1 - settings.alpha):g} % intervals",
        reasons="".join(f"<p>{escape(name)}: {escape(detail)}</p>" for name, detail in reasons),
        numbers="".join(_numbers(found)),
        figures="".join(_figures(study, settings)),
    )
    path.write_text(page, encoding="utf-8")


def filled(**parts: str) -> str:
    """Return the page with its parts, which are HTML. Raises KeyError for a part that is missing."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(parts)


def figure(title: str, caption: str, content: str) -> str:
    """Return a part of the page under its title."""
    return f"<figure><h2>{title}</h2><figcaption>{caption}</figcaption>{content}</figure>"


def _baseline_name(found: Evaluation) -> str:
    names = {"behaviour": "the behaviour policy", "given": "a given value", "snips": "a baseline policy"}
    return names[found.baseline.name]


def _numbers(found: Evaluation) -> Iterator[str]:
    shown = {
        "decisions": f"{found.rows:,}",
        "effective sample": number(found.effective_sample_size),
        "largest weight": number(found.max_weight),
        "mean weight": number(found.mean_weight),
        "baseline": number(found.baseline.value),
        found.decided_by: number(found.estimates[found.decided_by].value),
    }
    for name, value in shown.items():
        yield f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>"


def _figures(study: Study, settings: Settings) -> Iterator[str]:
    found = study.evaluation
    every = [found.baseline, *found.estimates.values()]
    names = [f"baseline ({found.baseline.name})", *found.estimates]
    yield figure(
        "Estimates",
        "Mean reward with bootstrap intervals; the dashed line is the baseline.",
        intervals([_bar(*each) for each in zip(names, every, strict=True)], found.baseline.value),
    )
    yield _table(names, every)
    yield _verdicts(found)
    if found.told:
        yield _told(found)
    weights = study.summary.weights
    yield figure(
        "Weights",
        f"Positive importance weights on a logarithmic scale, bars as tall as the root of their counts; "
        f"{weights.zeros:,} decisions weigh nothing.",
        _weights(weights),
    )
    yield from _course(study)
    if segments := list(study.segments.estimates(settings.alpha)):
        bars = [Bar(s.name, s.value, s.interval.low, s.interval.high) for s in segments]
        yield figure(
            "Segments",
            "Self-normalised estimates of the largest segments; the dashed line is the baseline of all.",
            intervals(bars, found.baseline.value),
        )


def _course(study: Study) -> Iterator[str]:
    line = study.timeline
    rows, weight = line.column("rows"), line.column("weight")
    with np.errstate(divide="ignore", invalid="ignore"):
        target = line.column("weighted reward") / weight
        effective = weight**2 / line.column("squared weight") / rows
    series = [
        ("logged", "mark", (line.column("reward") / rows).tolist()),
        ("target", "other", target.tolist()),
    ]
    yield figure(
        "Reward over the log",
        f"{ONE} logged and {TWO} self-normalised target, by decisions in the order of the file.",
        lines(series, line.length),
    )
    yield figure(
        "Effective sample over the log",
        "Effective share of each stretch's decisions: a fall says that policies have moved apart.",
        lines([("share", "mark", effective.tolist())], line.length, share=True),
    )


def _weights(weights: Weights) -> str:
    used = np.flatnonzero(weights.histogram)
    if not len(used):
        return "<p>No decision has any weight.</p>"
    places = np.arange(used[0], used[-1] + 1)
    edges = 2.0 ** (places / PER_OCTAVE + LOWEST)
    return histogram(edges.tolist(), weights.histogram[places].tolist())


def _table(names: list[str], every: list[Estimate]) -> str:
    head = "<tr><th>estimate<th>value<th>bootstrap<th>empirical Bernstein<th>confidence sequence</tr>"
    rows = []
    for name, each in zip(names, every, strict=True):
        shown = [
            f"[{number(ends.low)}, {number(ends.high)}]" if ends else "–"
            for ends in (each.interval, each.bernstein, each.sequence)
        ]
        rows.append(f"<tr><td>{escape(name)}<td>{number(each.value)}<td>{'<td>'.join(shown)}</tr>")
    return f'<div class="card"><table>{head}{"".join(rows)}</table></div>'


def _verdicts(found: Evaluation) -> str:
    head = "<tr><th>metric<th>baseline<th>difference<th>interval<th>verdict</tr>"
    rows = [
        f"<tr><td>{escape(each.guard.name)}<td>{number(each.baseline)}<td>{number(each.difference)}"
        f"<td>[{number(each.interval.low)}, {number(each.interval.high)}]"
        f'<td class="{each.verdict}">{each.verdict}</tr>'
        for each in found.judgements
    ]
    return figure("Verdicts", "Target less baseline, paired.", f"<table>{head}{''.join(rows)}</table>")


def _told(found: Evaluation) -> str:
    head = "<tr><th>metric<th>value<th>interval<th>baseline<th>difference<th>interval</tr>"
    rows = [
        f"<tr><td>{escape(each.guard.name)}<td>{number(each.value)}"
        f"<td>[{number(each.ends.low)}, {number(each.ends.high)}]<td>{number(each.baseline)}"
        f"<td>{number(each.difference)}<td>[{number(each.interval.low)}, {number(each.interval.high)}]</tr>"
        for each in found.told
    ]
    caption = "Self-normalised estimates of the target, beside the baseline; they decide nothing."
    return figure("Metrics", caption, f"<table>{head}{''.join(rows)}</table>")


def _bar(name: str, each: Estimate) -> Bar:
    return Bar(name, each.value, each.interval.low, each.interval.high)
