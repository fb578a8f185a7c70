"""What the command says: JSON on stdout for machines, sentences on stderr for people."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

import typer
from rich.console import Console

FAILED, BAD_USAGE = 1, 2


def console() -> Console:
    """A console on stderr."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(sentence: str) -> None:
    """A line on stderr, as it is."""
    console().print(sentence, markup=False)


def answer(document: Any) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    """Say what was wrong and end with `code`."""
    say(sentence)
    raise typer.Exit(code)
