"""The streamwheel command: every verb, and what becomes of errors.

Machine-readable output is JSON on stdout, messages and progress go to stderr. Exit status 0, 1 (the work
failed) or 2 (bad usage or input).
"""

from __future__ import annotations

import os
import sys
import traceback

import typer

from shared.cli import (
    commands_data,
    commands_evaluate,
    commands_export,
    commands_loop,
    commands_rollout,
    commands_trainer,
    commands_training,
    commands_work,
)
from shared.cli.output import BAD_USAGE, FAILED, say

app = typer.Typer(
    name="streamwheel",
    help="Continuous policy learning on Kafka: decide, join, learn, while events arrive.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    commands_loop,
    commands_data,
    commands_work,
    commands_training,
    commands_trainer,
    commands_evaluate,
    commands_export,
    commands_rollout,
):
    module.register(app)


def main() -> None:
    """Run the command line of this process."""
    try:
        app()
    except Exception as error:
        if os.environ.get("STREAMWHEEL_LOG_LEVEL", "").upper() == "DEBUG":
            traceback.print_exc()
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Say in a sentence what went wrong; the exit status that goes with it."""
    from kafka.errors import KafkaError
    from pydantic import ValidationError

    from shared.applications.files import SettingsError
    from shared.http.errors import path

    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, SettingsError):
        say(str(error))
        return BAD_USAGE
    if isinstance(error, ValidationError):
        for found in error.errors():
            name = f"STREAMWHEEL_{path(found['loc']).upper()}" if found["loc"] else "the environment"
            say(f"{name}: {found['msg'].removeprefix('Value error, ')}")
        return BAD_USAGE
    if isinstance(error, KafkaError):
        say(
            f"Kafka: {type(error).__name__} {error}. Check that it runs and that STREAMWHEEL_BROKER names it."
        )
    else:
        plain = isinstance(error, OSError | RuntimeError) and str(error)
        say(plain or f"{type(error).__name__}: {error}")
    return FAILED
