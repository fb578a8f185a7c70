"""shared/core is pure: it imports the standard library, numpy, polars and itself."""

import ast
import sys
from pathlib import Path

import pytest

import shared.core

ROOT = Path(shared.core.__file__).parent
ALLOWED = {*sys.stdlib_module_names, "numpy", "polars"}
IMPURE = {"asyncio", "multiprocessing", "pickle", "random", "socket", "subprocess", "threading", "time"}


def imported(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("shared.core" if node.level else str(node.module))
    return names


def forbidden(source: str) -> set[str]:
    def is_core(name: str) -> bool:
        return name == "shared.core" or name.startswith("shared.core.")

    names = {name for name in imported(source) if not is_core(name)}
    return {name for name in names if name.split(".")[0] not in ALLOWED - IMPURE}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_core_module_imports_nothing_that_does_input_or_output_or_heavy_work(path):
    assert forbidden(path.read_text()) == set()


@pytest.mark.parametrize("line", ["import faust", "from shared.wire import codec", "import pickle, json"])
def test_the_rule_finds_a_forbidden_import(line):
    assert forbidden(line)
