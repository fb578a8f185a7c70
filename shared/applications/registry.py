"""Which applications there are: the built-in folders, and the user's YAML files."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from shared.applications.contract import Application
from shared.applications.files import SettingsError, read
from shared.applications.generic.application import GenericApplication


def _builtin() -> Iterator[Application]:
    here = Path(__file__).parent
    for module in sorted(here.glob("*/application.py")):
        yield from import_module(f"{__package__}.{module.parent.name}.application").applications()


def _from_files(directories: Iterable[Path]) -> Iterator[tuple[str, Application]]:
    for directory in directories:
        if not directory.is_dir():
            raise SettingsError(f"{directory}: no such folder of applications")
        for file in sorted([*directory.glob("*.yaml"), *directory.glob("*.yml")]):
            yield str(file), GenericApplication(read(file))


def load(directories: Iterable[Path] = ()) -> dict[str, Application]:
    """Every application by name: the built-in ones, and one for each YAML file of `directories`.

    Raises `SettingsError` for a file that cannot be used, or a name that is taken.
    """
    found: dict[str, Application] = {application.name: application for application in _builtin()}
    origin = dict.fromkeys(found, "a built-in application")
    for file, application in _from_files(directories):
        if application.name in found:
            taken = origin[application.name]
            raise SettingsError(f"{file}: application: {application.name!r} is the name of {taken}")
        found[application.name], origin[application.name] = application, file
    return found
