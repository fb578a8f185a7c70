"""Which module reads an application's lines."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def reader(application: str) -> ModuleType:
    """The module that reads the application's lines.

    It has `read_line(application, line)`, which returns one line as a record or raises FieldError, and
    `tables(application, records)`, which makes tables of records. One with `of_rewards(application, rewards)`
    also makes them of archived rewards, one with `of_interactions(application, rewards, interactions)` of
    rewards together with the interactions behind them. `problems(records)`, where there is one, gives the
    position of each record that does not go with others, and a FieldError.
    """
    own = f"{__package__}.{application}"
    return import_module(own if find_spec(own) else f"{__package__}.decisions")
