"""Replies to requests that brought their own id, so that sending again gives the same reply."""

import asyncio
from collections import OrderedDict
from typing import NamedTuple


class Forgotten(RuntimeError):
    """The request that was to give the reply has failed; send again."""


class Remembered(NamedTuple):
    """A reply that is or will be known, and the application that it belongs to."""

    application: str
    reply: "asyncio.Future[bytes]"


class Replies:
    """The last `limit` replies by decision id."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[str, Remembered] = OrderedDict()

    def get(self, decision_id: str) -> Remembered | None:
        """What was answered, or is about to be."""
        return self._known.get(decision_id)

    def begin(self, decision_id: str, application: str) -> "asyncio.Future[bytes]":
        """Remember that a reply is under way; the caller sets its result, or forgets it."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._known[decision_id] = Remembered(application, future)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return future

    def forget(self, decision_id: str) -> None:
        """There was no reply: whoever waits for it gets `Forgotten`, whoever sends again starts anew."""
        remembered = self._known.pop(decision_id, None)
        if remembered is not None and not remembered.reply.done():
            remembered.reply.set_exception(Forgotten(f"the first request for {decision_id!r} failed"))
            remembered.reply.exception()  # nobody has to wait for it
