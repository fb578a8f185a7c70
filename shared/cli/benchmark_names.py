"""Which benchmarks there are: every module of `shared.cli.benchmarks` with a function `run() -> dict`, whose
parameters are sizes."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("benchmarks")


def benchmarks(folder: Path = FOLDER) -> dict[str, str]:
    """Name on the command line → module. They are not imported: each has peers of its own to import."""
    found = {}
    for file in sorted(folder.glob("*.py")):
        body = ast.parse(file.read_text()).body
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in body):
            found[file.stem.replace("_", "-")] = f"{__package__}.benchmarks.{file.stem}"
    return found


def check(module: str, sizes: Mapping[str, int]) -> None:
    """Raise ValueError naming a size that a benchmark does not have, or that is below one."""
    known = signature(import_module(module).run).parameters
    for name, value in sizes.items():
        if name not in known:
            raise ValueError(f"{name}: its sizes are: {', '.join(known) or 'none'}")
        if value < 1:
            raise ValueError(f"{name}: must be at least 1, not {value}")


def run(module: str, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Run one and return its object: benchmark, figures, peers, ratios, machine."""
    result: dict[str, Any] = import_module(module).run(**sizes)
    return result
