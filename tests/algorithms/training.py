"""Helpers of the tests here."""

from importlib import import_module
from pathlib import Path
from typing import Any

from shared.algorithms.artefacts import Artefact
from shared.algorithms.artefacts import train as make
from shared.algorithms.contract import Dataset
from shared.algorithms.parameters import chosen
from shared.algorithms.registry import Algorithm, algorithms

TINY = sorted(
    file.stem for file in (Path(__file__).parent / "tiny").glob("*.py") if not file.stem.startswith("_")
)


def silent(share: float, doing: str) -> None:
    """Progress that nobody follows."""


def tiny(name: str) -> tuple[Algorithm, Dataset, Any]:
    module = import_module(f"{__package__}.tiny.{name}")
    algorithm = algorithms()[name]
    return algorithm, module.dataset(), tiny_parameters(name)


def tiny_parameters(name: str, **more: Any) -> Any:
    module = import_module(f"{__package__}.tiny.{name}")
    declared = algorithms()[name].declaration
    return chosen(declared.Parameters, declared.PRESETS, "default", module.PARAMETERS, more)


def trained(name: str, root: Path, seed: int = 1) -> Artefact:
    algorithm, data, parameters = tiny(name)
    return make(algorithm, data, parameters, seed, root, silent)
