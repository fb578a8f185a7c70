"""Which algorithms there are: every folder with a `declaration.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import cast

from shared.algorithms.contract import GENERIC, Declaration, NotTrainable, Training

#: What an application is retrained with unless somebody says otherwise; `OTHERWISE` for all others.
USUAL: Mapping[str, str] = {
    "voice_assistant": "prompt_search",
    "entertainment": "q_learning",
    "assistant": "reward_model",
    "search_ranking": "cql",
    "dashboard_widgets": "dpo",
}
OTHERWISE = "linear"

#: Where the libraries are locked that training imports.
LOCK = "services/trainer/requirements.lock"


class MissingLibrary(RuntimeError):
    """A library that the algorithm trains with is not installed."""


@dataclass(frozen=True)
class Algorithm:
    """One folder."""

    name: str
    declaration: Declaration

    def training(self) -> Training:
        """Import its library. Raises MissingLibrary."""
        self.libraries()
        return cast(Training, _module(self.name, "train"))

    def serving(self) -> ModuleType | None:
        """Its module `serve`, if its policies can be served here."""
        if not (Path(__file__).parent / self.name / "serve.py").exists():
            return None
        return _module(self.name, "serve")

    def libraries(self) -> dict[str, str]:
        """Versions of what it trains with. Raises MissingLibrary."""
        try:
            return {name: version(name) for name in self.declaration.LIBRARIES}
        except PackageNotFoundError as error:
            raise MissingLibrary(
                f"{self.name} needs {error.name}: make install-training installs {LOCK}"
            ) from error


def algorithms() -> dict[str, Algorithm]:
    """Every algorithm by name. Imports declarations only."""
    folders = sorted(file.parent.name for file in Path(__file__).parent.glob("*/declaration.py"))
    return {name: Algorithm(name, cast(Declaration, _module(name, "declaration"))) for name in folders}


def for_application(application: str, name: str | None = None) -> Algorithm:
    """The algorithm of this name, or the application's usual one. Raises NotTrainable if it is not for it."""
    known = algorithms()
    fitting = {each: found for each, found in known.items() if _fits(found, application)}
    wanted = name or USUAL.get(application, OTHERWISE)
    if wanted not in fitting:
        what = "is not for" if wanted in known else "is unknown, so not for"
        raise NotTrainable(f"algorithm {wanted!r} {what} {application}; there are {', '.join(fitting)}")
    return fitting[wanted]


def _fits(algorithm: Algorithm, application: str) -> bool:
    meant = algorithm.declaration.APPLICATIONS
    return application in meant or (GENERIC in meant and application not in USUAL)


def _module(name: str, part: str) -> ModuleType:
    return import_module(f"{__package__}.{name}.{part}")
