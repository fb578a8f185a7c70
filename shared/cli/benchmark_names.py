"""Which benchmarks there are: every module of `shared.cli.benchmarks` with a function `run() -> dict`."""

from __future__ import annotations

import ast
from importlib import import_module
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


def run(module: str) -> dict[str, Any]:
    """Run one and return its object: benchmark, figures, peers, ratios, machine."""
    result: dict[str, Any] = import_module(module).run()
    return result
