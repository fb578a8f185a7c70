"""Heavy libraries are imported by trainings, and by what only trainings and exports import."""

import ast
from collections.abc import Iterator
from pathlib import Path

import shared

ROOT = Path(shared.__file__).parents[1]
HEAVY = {
    *("accelerate", "d3rlpy", "datasets", "gguf", "gymnasium", "onnx", "onnxruntime", "peft", "safetensors"),
    *("sentencepiece", "sklearn", "torch", "transformers", "trl", "xllamacpp"),
}
PEERS = "shared.cli.benchmarks.peers"
"""Programs in an environment of their own."""


def imported(source: str) -> set[str]:
    """What a module imports when it is imported itself."""
    found: set[str] = set()
    for node in _at_once(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """Everything but the insides of functions, and of what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _at_once(child)


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): imported(path.read_text())
    for folder in ("shared", "services")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def carrying() -> set[str]:
    """Modules that bring a heavy library with them, by themselves or by what they import."""
    found = {name for name, each in MODULES.items() if {one.split(".")[0] for one in each} & HEAVY}
    while more := {name for name, each in MODULES.items() if each & found} - found:
        found |= more
    return {name for name in found if not name.startswith(PEERS)}


def test_only_trainings_and_exports_bring_heavy_libraries() -> None:
    helpers = {
        *(
            "shared.algorithms.deep.learning",
            "shared.algorithms.deep.training",
            "shared.algorithms.ppo.answering",
        ),
        "shared.algorithms.ppo.checkpoints",
        *(f"shared.algorithms.language.{name}" for name in ("likelihood", "models", "scoring", "training")),
        *(f"shared.algorithms.export.{name}" for name in ("checking", "gguf_file", "merging")),
    }
    others = {name for name in carrying() - helpers if not name.startswith("shared.cli.benchmarks.")}
    assert {name for name in others if not name.endswith(".train")} == set()
    # Helpers are for trainings and exports: what is imported with the command line is none.
    assert helpers <= carrying()


def test_the_rule_finds_what_is_imported_at_once_and_nothing_else() -> None:
    assert "torch" in imported("try:\n    import torch\nexcept ImportError:\n    pass")
    assert "torch" not in imported("def f():\n    import torch")
