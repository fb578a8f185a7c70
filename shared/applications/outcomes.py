"""What products call success, beside the reward: a module `outcomes.py` in an application's folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from shared.core.arrays import Floats

Components = Mapping[str, Floats]


@dataclass(frozen=True)
class Metric:
    """One number for each decision, made of the components of its reward."""

    name: str
    components: tuple[str, ...]
    """Those that it is made of."""
    of: Callable[[Components], Floats]
    """Components by name, (n,) each, to (n,); NaN where they do not tell."""


@lru_cache
def metrics_of(application: str) -> tuple[Metric, ...]:
    """The metrics of a built-in application; none of others, whose metrics are what their settings guard."""
    folder = Path(__file__).parent / application
    if not (folder / "outcomes.py").is_file():
        return ()
    found: tuple[Metric, ...] = tuple(import_module(f"{__package__}.{application}.outcomes").OUTCOMES)
    return found
