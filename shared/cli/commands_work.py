"""reward, benchmark: work on files and figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.cli.commands_loop import Applications
from shared.cli.output import BAD_USAGE, answer, fail

if TYPE_CHECKING:
    from shared.applications.contract import Application

STANDARD_INPUT = Path("-")


def reward(
    application: Annotated[str, typer.Argument(help="Name of the application.")],
    file: Annotated[Path, typer.Argument(help="JSON lines; - is standard input.", allow_dash=True)] = Path(
        "-"
    ),
    applications: Applications = None,
) -> None:
    """Give each JSON line its reward: {"reward", "components"} or {"error"}, one line for each.

    Exit status 1 if any line had an error.
    """
    from shared.applications.lines import reward_lines

    chosen = chosen_application(application, applications)
    try:
        stream = sys.stdin.buffer if file == STANDARD_INPUT else file.open("rb")
    except OSError as error:
        fail(f"{file}: {error.strerror}", BAD_USAGE)
    failed = False
    with stream as lines:
        for result in reward_lines(chosen, lines):
            failed |= "error" in result
            answer(result)
    if failed:
        raise typer.Exit(1)


def benchmark(
    name: Annotated[str, typer.Argument(help="Which one; a wrong name shows those there are.")],
    as_json: Annotated[bool, typer.Option("--json", help="No table on stderr.")] = False,
    size: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER, of those that have sizes; a wrong name shows them.")
    ] = None,
) -> None:
    """Measure, on this machine: one JSON object with figures, peers' figures and ratios.

    Exit status 1 if a measurement fails.
    """
    from shared.cli.benchmark_names import benchmarks, check, run
    from shared.cli.tables import benchmark_table

    known = benchmarks()
    if name not in known:
        fail(f"there is no benchmark {name!r}; there are: {', '.join(known)}", BAD_USAGE)
    try:
        sizes = dict(_size(each) for each in size or ())
        check(known[name], sizes)
    except ValueError as error:
        fail(f"--size {error}", BAD_USAGE)
    result = run(known[name], sizes)
    if not as_json:
        benchmark_table(result)
    answer(result)


def _size(given: str) -> tuple[str, int]:
    name, _, number = given.partition("=")
    if not number.isdecimal():
        raise ValueError(f"{given}: must be NAME=NUMBER")
    return name, int(number)


def chosen_application(name: str, folder: Path | None) -> Application:
    """The application of that name, built in or from `folder`; ends the command if there is none."""
    from shared.applications.registry import load

    known = load([folder] if folder else [])
    if name not in known:
        fail(f"there is no application {name!r}; there are: {', '.join(known)}", BAD_USAGE)
    return known[name]


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command()(reward)
    app.command()(benchmark)
