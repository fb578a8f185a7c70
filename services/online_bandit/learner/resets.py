"""Resets of arms that somebody asked for, as deployment-events tell of them."""

from collections.abc import Iterable, Mapping

from shared.applications.contract import Application
from shared.wire.codec import WireError
from shared.wire.rollouts import read_event

TOPIC = "deployment-events"
#: (application, index of the action) → when its newest reset was asked for, in ms.
Asked = Mapping[tuple[str, int], int]


class Resets:
    """The newest request for each arm. `asked` is replaced as a whole, so that others may keep it."""

    def __init__(self, applications: Mapping[str, Application]) -> None:
        self.asked: Asked = {}
        # Where actions bring features they share one regression: there is no arm to reset.
        self._arms = {
            (application.name, action): index
            for application in applications.values()
            if not application.action_width
            for index, action in enumerate(application.actions)
        }

    def take(self, events: Iterable[tuple[bytes, bytes | None]]) -> bool:
        """Take keys and values of the next events; whether something new was asked for."""
        asked = dict(self.asked)
        for _, value in events:
            try:
                event = read_event(value)
            except WireError:
                continue  # the deployer puts it into the dead letters
            index = self._arms.get((event.application, event.action or ""))
            if event.what == "reset" and index is not None:
                arm = event.application, index
                asked[arm] = max(event.at, asked.get(arm, 0))
        changed = asked != self.asked
        if changed:
            self.asked = asked
        return changed
