"""Live figures on stderr: in place on a terminal, else a line now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.live import Live
from rich.table import Table

from shared.cli.output import console

LINE_EVERY = 10
"""Updates between two lines where there is no terminal."""

Show = Callable[[Mapping[str, str]], None]


@contextmanager
def display() -> Iterator[Show]:
    """Gives a function that shows figures by name."""
    out = console()
    if not out.is_terminal:
        yield _lines(out.print)
        return
    with Live(console=out, transient=True) as live:
        yield lambda figures: live.update(_table(figures))


def _lines(write: Callable[[str], None]) -> Show:
    count = 0

    def show(figures: Mapping[str, str]) -> None:
        nonlocal count
        if count % LINE_EVERY == 0:
            write(", ".join(f"{name} {value}" for name, value in figures.items()))
        count += 1

    return show


def _table(figures: Mapping[str, str]) -> Table:
    table = Table(*figures, box=None, pad_edge=False)
    table.add_row(*figures.values())
    return table
