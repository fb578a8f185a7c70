"""train: make a candidate from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.cli.commands_loop import Applications
from shared.cli.output import BAD_USAGE, FAILED, answer, console, fail, say

if TYPE_CHECKING:
    from shared.algorithms.contract import Dataset
    from shared.algorithms.registry import Algorithm

OUT = Path("candidates")
FORMS = "JSON lines in the application's form, or archived rewards (.parquet)."


def train(context: typer.Context) -> None:
    """Train a policy from a file and keep it as a candidate: a folder named by its content."""
    from shared.cli.training_flags import with_flags

    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    settings = {"help_option_names": ["-h", "--help"]}
    command.command(context_settings=settings)(with_flags(_train, context.args))
    command(context.args, prog_name=context.command_path)


def _train(
    application: Annotated[str, typer.Argument(help="Name of the application.")],
    data: Annotated[Path, typer.Option(help=FORMS, dir_okay=False)],
    algorithm: Annotated[
        str | None, typer.Option(help="Which algorithm; the application's usual one by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that the candidate's folder is put into.")] = OUT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build the data set, report it, train nothing.")
    ] = False,
    preset: Annotated[str, typer.Option(help="A named set of hyper-parameters.")] = "default",
    parameters: Annotated[
        Path | None, typer.Option(help="YAML of hyper-parameters; flags outrank it.", dir_okay=False)
    ] = None,
    previous: Annotated[
        Path | None, typer.Option(help="Candidate's folder to go on from.", file_okay=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal candidates.", min=0)] = 0,
    log_level: Annotated[
        str, typer.Option(help="DEBUG, INFO, WARNING or ERROR: what libraries may say on stderr.")
    ] = "WARNING",
    applications: Applications = None,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Train a policy and keep it as a candidate: a folder named by its content.

    Prints one JSON object. Exit status 1 if the data do not allow training, 2 for wrong lines, flags, files.
    `streamwheel train APPLICATION --help` lists the hyper-parameters of its algorithm.
    """
    from shared.algorithms.artefacts import ArtefactError
    from shared.algorithms.contract import NotTrainable
    from shared.algorithms.parameters import ParameterError, chosen, to_document
    from shared.algorithms.reading.files import DataError, read_file
    from shared.algorithms.registry import for_application
    from shared.cli.commands_work import chosen_application

    found = chosen_application(application, applications)
    _let_speak(log_level)
    try:
        method = for_application(application, algorithm)
        declared = method.declaration
        stated = {} if parameters is None else _read_yaml(parameters)
        wanted = chosen(declared.Parameters, declared.PRESETS, preset, stated, given)
        dataset = read_file(found, data, previous)
    except (ParameterError, DataError, NotTrainable) as error:
        fail(str(error), BAD_USAGE)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", BAD_USAGE)
    common = {
        "application": application,
        "algorithm": method.name,
        "parameters": to_document(wanted),
        "seed": seed,
    }
    try:
        if dry_run:
            answer(common | _report(method, dataset, wanted))
        else:
            answer(common | _candidate(method, dataset, wanted, seed, out))
    except (NotTrainable, ArtefactError) as error:
        answer(common | {"status": "refused", "reason": str(error)})
        fail(str(error), FAILED)


def _report(method: Algorithm, dataset: Dataset, parameters: Any) -> dict[str, Any]:
    return {"status": "checked", "data": dict(method.training().summary(dataset, parameters))}


def _candidate(method: Algorithm, dataset: Dataset, parameters: Any, seed: int, out: Path) -> dict[str, Any]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from shared.algorithms.artefacts import train as make

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console()) as bar:
        task = bar.add_task(method.name, total=1.0)

        def progress(share: float, doing: str) -> None:
            bar.update(task, completed=share, description=f"{method.name}: {doing}")

        artefact = make(method, dataset, parameters, seed, out, progress)
    say(f"kept in {artefact.folder}")
    return {
        "status": "trained",
        "candidate": artefact.id,
        "folder": str(artefact.folder),
        "metrics": artefact.manifest.metrics,
    }


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml

    from shared.algorithms.parameters import ParameterError

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(document, dict):
        raise ParameterError(f"{file}: expected a mapping of hyper-parameters")
    return document


def _let_speak(level: str) -> None:
    import logging

    known = logging.getLevelNamesMapping()
    if level.upper() not in known:
        fail(f"--log-level: {level!r} is not one of DEBUG, INFO, WARNING, ERROR", BAD_USAGE)
    logging.basicConfig(level=known[level.upper()])


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(context_settings=settings)(train)
