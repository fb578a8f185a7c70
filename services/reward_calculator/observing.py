"""Facts for the metrics of applications, told once the transaction that they belong to is committed."""

from collections.abc import Mapping, Sequence

import polars as pl

from services.reward_calculator.handlers import Handlers
from shared.applications.observing import DECISION_COLUMNS, RewardObserver
from shared.core.join import Emission, Heard, Output
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema
from shared.wire.views import view

Fact = Heard | Emission


class Observation:
    """What one partition tells. What a step finds waits for the commit: until then it may be read again."""

    def __init__(self, handlers: Handlers, observers: Mapping[str, RewardObserver]) -> None:
        named = enumerate(handlers.applications)
        self._observers = {n: observers[each.name] for n, each in named if each.name in observers}
        self._waiting: list[Fact] = []

    def note(self, output: Output) -> None:
        """Keep what a step found."""
        emissions = (each for each in output.emissions if each.application in self._observers)
        self._waiting += [*output.heard, *emissions]

    def take(self) -> list[Fact]:
        """Everything that was kept, and is to be told once the transaction under way is committed."""
        taken, self._waiting = self._waiting, []
        return taken

    def tell(self, facts: Sequence[Fact]) -> None:
        """Tell what was taken."""
        for each in facts:
            observer = self._observers[each.application]
            decisions = _decisions(each.decisions)
            if isinstance(each, Heard):
                interactions = decode_columns(schema("interactions"), each.interactions).frame
                observer.heard(decisions, interactions)
            else:
                first = each.revision == 0
                observer.rewarded(
                    decisions, each.reward, first, ~each.is_default & (first | each.was_default)
                )


def _decisions(raws: Sequence[bytes]) -> pl.DataFrame:
    return decode_columns(view(schema("decisions"), DECISION_COLUMNS), raws).frame
