"""evaluate: judge a target policy on a file of logged decisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.cli.output import BAD_USAGE, answer, fail, say

if TYPE_CHECKING:
    from shared.core.estimators.verdict import Guard

BEHAVIOUR = "behaviour"
BETTER = {"higher": True, "lower": False}


def evaluate(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet with reward, propensity, target_propensity; optional cluster, q_logged and "
            "q_target (a reward model's predictions), segment (for the report)."
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
    from shared.evaluation.report import write_report
    from shared.evaluation.running import study_file

    number, column = _baseline(baseline)
    try:
        settings = Settings(
            alpha=alpha,
            seed=seed,
            resamples=resamples,
            decides=estimator,
            baseline=number,
            guards=[_guard(each) for each in guard or ()],
        )
        study = study_file(file, settings, column)
    except OSError as error:
        fail(f"{file}: {error.strerror}", BAD_USAGE)
    except BadLog as error:
        fail(str(error), BAD_USAGE)
    except ValueError as error:
        fail(f"{file}: {error}", BAD_USAGE)
    if report:
        try:
            write_report(report, study, settings, file.name)
        except OSError as error:
            fail(f"{report}: {error.strerror}", BAD_USAGE)
        say(f"report: {report}")
    answer(full_document(study.evaluation) if full else document(study.evaluation))


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
