"""Which estimators there are: every module of `one_step` and of `sequences` with a function `estimators`."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from shared.core.estimators.contract import Estimator
from shared.core.estimators.log import Logged
from shared.core.estimators.sequences.trajectories import Trajectories


def one_step(*, models: bool = True) -> list[Estimator[Logged]]:
    """Return the estimators of single decisions, plain ones first and a family's members side by side.

    Without `models`, only those that need no reward model.
    """
    offered = [each for each in _offered("one_step") if models or not each.models_rewards]
    return sorted(offered, key=lambda each: (each.models_rewards, each.parameter is not None, each.name))


def sequences() -> list[Estimator[Trajectories]]:
    """Return the estimators of whole trajectories."""
    return list(_offered("sequences"))


def _offered(folder: str) -> Iterator[Any]:
    for file in sorted((Path(__file__).parent / folder).glob("*.py")):
        body = ast.parse(file.read_text()).body
        if any(isinstance(node, ast.FunctionDef) and node.name == "estimators" for node in body):
            yield from import_module(f"{__package__}.{folder}.{file.stem}").estimators()
