"""The test of variants that an application's settings describe."""

from collections.abc import Mapping

from shared.applications.contract import Application
from shared.core.experiments.assignment import Experiment


def experiment_of(application: Application) -> Experiment | None:
    """Its test; None if there is none under way."""
    told = application.settings.experiment
    if told is None:
        return None
    return Experiment(told.name, dict(told.shares), told.subjects, told.control)


def experiments(applications: Mapping[str, Application]) -> dict[str, Experiment]:
    """Application → its test, for those that have one."""
    found = {name: experiment_of(application) for name, application in applications.items()}
    return {name: each for name, each in found.items() if each is not None}
