"""Tables for people, on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from shared.cli.addresses import Addresses
from shared.cli.output import console
from shared.cli.state import StateFolder
from shared.cli.status import LoopStatus


def addresses_table(addresses: Addresses, folder: StateFolder) -> None:
    """Where everything listens."""
    table = Table("process", "address", box=None, pad_edge=False)
    for name, address in addresses.document().items():
        table.add_row(name, address)
    out = console()
    out.print(table)
    out.print(f"ready; logs in {folder.logs}. Ctrl-C stops all.", markup=False)


def status_table(seen: LoopStatus) -> None:
    """How each process is doing."""
    out = console()
    if not seen.processes:
        out.print(f"nothing runs in {seen.state}", markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("process", "pid", "address", "alive", "ready", "lag", "restarts"):
        table.add_column(name, no_wrap=True)
    table.add_column("problem", overflow="fold")
    for each in seen.processes:
        table.add_row(
            each.process,
            str(each.pid or "-"),
            each.address,
            "yes" if each.alive else "no",
            "yes" if each.ready else "no",
            "-" if each.lag is None else f"{each.lag:,}",
            str(each.restarts),
            "; ".join(each.problems),
        )
    out.print(table)


def benchmark_table(result: Mapping[str, Any]) -> None:
    """A benchmark's figures, its peers' and the ratios."""
    table = Table("", str(result["benchmark"]), box=None, pad_edge=False)
    for part in ("figures", "peers", "ratios", "machine"):
        for name, value in result.get(part, {}).items():
            table.add_row(f"{part} {name}", f"{value:,.4g}" if isinstance(value, float) else str(value))
    console().print(table)
