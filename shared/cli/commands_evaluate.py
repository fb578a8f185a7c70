"""evaluate: judge a target policy on a file of logged decisions."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.cli.output import BAD_USAGE, answer, fail, say

if TYPE_CHECKING:
    from shared.applications.outcomes import Metric
    from shared.core.estimators.settings import Settings
    from shared.core.estimators.verdict import Guard
    from shared.evaluation.study import Study

BEHAVIOUR = "behaviour"
BETTER = {"higher": True, "lower": False}


def evaluate(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet with reward, propensity, target_propensity; optional cluster, q_logged and "
            "q_target (a reward model's predictions), weight_square and weight_fourth (powers of the weight "
            "less 1, averaged over the logging policy's actions: with them, refusals do not hang on which "
            "were drawn), segment (for the report). Or, of vectors: "
            "reward, action_NAME and target_NAME for each of their numbers (what was given, and what the "
            "policy would have given); optional context_NAME, density (estimated where it is not given), "
            "cluster, segment."
        ),
    ],
    baseline: Annotated[
        str,
        typer.Option(
            help="What to beat: behaviour (the mean logged reward), a number, or a column with another "
            "policy's propensities of the logged actions."
        ),
    ] = BEHAVIOUR,
    estimator: Annotated[
        str | None, typer.Option(help="Whose interval the verdict is read from; dr or snips if not given.")
    ] = None,
    guard: Annotated[
        list[str] | None,
        typer.Option(
            help="A column that must not get worse, as NAME[:higher|lower[:TOLERANCE]]: which way is better, "
            "and the share of the baseline by which it may be worse."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="A column to estimate beside the reward; it decides nothing.")
    ] = None,
    application: Annotated[
        str | None,
        typer.Option(
            help="Estimate this application's metrics, from columns named as its rewards' components."
        ),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            help="Of the kernel around a vector, in standard deviations of the logged ones; by their number "
            "if not given."
        ),
    ] = None,
    alpha: Annotated[float, typer.Option(help="1 - level of every interval.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples.", min=100, max=100_000)] = 2000,
    full: Annotated[
        bool, typer.Option("--full", help="Print the other intervals and each metric's verdict too.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write a page for people there: one HTML file, no network needed.")
    ] = None,
) -> None:
    """Estimate what a policy would have earned on logged decisions, and judge it.

    The verdict is pass, fail, inconclusive or refused; each is an answer, with exit status 0. A broken file
    is named by column and row, exit status 2.
    """
    from shared.core.estimators.settings import Settings
    from shared.evaluation.documents import document, full_document
    from shared.evaluation.reading import BadLog

    number, column = _baseline(baseline)
    try:
        settings = Settings(
            alpha=alpha,
            seed=seed,
            resamples=resamples,
            decides=estimator,
            baseline=number,
            guards=[_guard(each) for each in guard or ()],
            told=metric or (),
        )
        study, density = _studied(file, settings, column, application, bandwidth)
    except OSError as error:
        fail(f"{file}: {error.strerror}", BAD_USAGE)
    except BadLog as error:
        fail(str(error), BAD_USAGE)
    except ValueError as error:
        fail(f"{file}: {error}", BAD_USAGE)
    if report:
        _write(report, study, settings, file.name)
    answer((full_document(study.evaluation) if full else document(study.evaluation)) | density)


def _studied(
    file: Path, settings: Settings, column: str | None, application: str | None, bandwidth: float | None
) -> tuple[Study, dict[str, Any]]:
    """The study of either kind of log, and what is told of densities. Raises BadLog, OSError, ValueError."""
    from shared.evaluation.running import study_file
    from shared.evaluation.vectors import has_vectors, study_vectors

    if has_vectors(file):
        _vectors_alone(column, application, bandwidth)
        found = study_vectors(file, settings, bandwidth)
        return found.study, {"density": asdict(found.density)}
    _no_bandwidth(bandwidth)
    return study_file(file, settings, column, _outcomes(file, application)), {}


def _write(report: Path, study: Study, settings: Settings, title: str) -> None:
    from shared.evaluation.report import write_report

    try:
        write_report(report, study, settings, title)
    except OSError as error:
        fail(f"{report}: {error.strerror}", BAD_USAGE)
    say(f"report: {report}")


def _vectors_alone(column: str | None, application: str | None, bandwidth: float | None) -> None:
    """Refuse what a log of vectors does not allow."""
    if column is not None:
        raise ValueError(f"--baseline {column}: a log of vectors has no propensities of another policy")
    if application is not None:
        raise ValueError(f"--application {application}: name columns of a log of vectors with --metric")
    if bandwidth is not None and not (isfinite(bandwidth) and bandwidth > 0):
        raise ValueError(f"--bandwidth {bandwidth}: must be a finite number above zero")


def _no_bandwidth(bandwidth: float | None) -> None:
    if bandwidth is not None:
        raise ValueError("--bandwidth: the log has no vectors, which are columns action_NAME")


def _outcomes(file: Path, application: str | None) -> list[Metric]:
    from shared.applications.registry import load
    from shared.evaluation.outcomes import told

    if application is None:
        return []
    if application not in (known := load()):
        raise ValueError(f"--application {application}: there are {', '.join(known)}")
    return told(file, application)


def _baseline(given: str) -> tuple[float | None, str | None]:
    """A number, or a column's name, or neither."""
    if given == BEHAVIOUR:
        return None, None
    try:
        return float(given), None
    except ValueError:
        return None, given


def _guard(given: str) -> Guard:
    from shared.core.estimators.verdict import Guard

    name, _, rest = given.partition(":")
    better, _, tolerance = rest.partition(":")
    if (better or "higher") not in BETTER:
        raise ValueError(f"--guard {given}: {better!r} is not one of {', '.join(BETTER)}")
    try:
        share = float(tolerance or 0)
    except ValueError:
        raise ValueError(f"--guard {given}: {tolerance!r} is not a number") from None
    return Guard(name, BETTER[better or "higher"], share)


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command()(evaluate)
