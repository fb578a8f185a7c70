"""The product's side: asks for decisions, and tells later which of them were right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

import httpx

from shared.cli.audit.journal import Journal
from shared.cli.demo.examples import Example
from shared.cli.demo.posting import post

LONGEST_DELAY_S = 1.0
"""A right answer is told after a random delay up to this; below every demo application's wait."""
AT_ONCE = 32
"""Decisions that are waited for at once."""
BAD_EVERY = 200
"""So often an event is sent that has to be refused, for the audit to look for."""


Judge = Callable[[Mapping[str, Any], Example], float | None]
"""A reply and its example to the value of what is told of the decision; None for nothing."""


def right(reply: Mapping[str, Any], example: Example) -> float | None:
    """1 for the right action."""
    return 1.0 if reply["action"] == example.right else None


class Player:
    """Plays examples at a steady pace. `journal` keeps what was acknowledged and what was refused."""

    def __init__(
        self,
        application: str,
        client: httpx.AsyncClient,
        decisions_url: str,
        collector_url: str,
        random: Random,
        acknowledged: Callable[[str], None],
        judge: Judge = right,
    ) -> None:
        """`acknowledged` hears the decision_id of each interaction that the collector has acknowledged."""
        self.journal = Journal()
        self.decided = self.told = 0
        self._judge, self._number, self._stopped = judge, 0, False
        self._application, self._client, self._random = application, client, random
        self._decisions, self._interactions = (
            f"{decisions_url}/v1/decisions",
            f"{collector_url}/v1/interactions",
        )
        self._acknowledged, self._turns = acknowledged, asyncio.Semaphore(AT_ONCE)

    async def play(self, examples: Iterable[Example], rate: float) -> None:
        """Play all examples, `rate` of them a second. Raises httpx.HTTPError when a service stays away."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for place, example in enumerate(examples):
                if self._stopped:
                    break
                number, self._number = self._number, self._number + 1
                await asyncio.sleep(began + place / rate - loop.time())
                await self._turns.acquire()  # a slow loop slows the pace; what was right is told in time
                delay = self._random.random() * LONGEST_DELAY_S
                tasks.create_task(self._one(decision_id(number), example, delay))
                if number % BAD_EVERY == 0:
                    tasks.create_task(self._bad(number))

    def stop(self) -> None:
        """Let `play` return once what was begun is told."""
        self._stopped = True

    async def _one(self, identifier: str, example: Example, delay_s: float) -> None:
        asked = {
            "application": self._application,
            "subject_id": identifier,
            "decision_id": identifier,
            "context": example.context,
        }
        try:
            reply = await post(self._client, self._decisions, asked)
        finally:
            self._turns.release()
        self.journal.decisions.acknowledged.add(identifier)
        self.decided += 1
        value = self._judge(reply.json(), example)
        if value is None:
            return
        await asyncio.sleep(delay_s)
        interaction_id = f"{identifier}-right"
        await post(
            self._client,
            self._interactions,
            {"interactions": [self._interaction(interaction_id, identifier, value)]},
        )
        self.journal.interactions.acknowledged.add(interaction_id)
        self.told += 1
        self._acknowledged(identifier)

    async def _bad(self, number: int) -> None:
        """Send what must be refused: a decision without context, and a batch with one bad interaction."""
        refused = f"refused-{number}"
        decision = {
            "application": self._application,
            "subject_id": "s",
            "decision_id": refused,
            "context": {},
        }
        good, bad = (self._interaction(f"{refused}-{n}", decision_id(number)) for n in range(2))
        batch = {"interactions": [good, bad | {"value": "one"}]}
        if (await post(self._client, self._decisions, decision, 422)).is_client_error:
            self.journal.decisions.refused.add(refused)
        if (await post(self._client, self._interactions, batch, 422)).is_client_error:
            self.journal.interactions.refused |= {f"{refused}-0", f"{refused}-1"}

    def _interaction(self, interaction_id: str, decision: str, value: float = 1) -> dict[str, object]:
        return {
            "interaction_id": interaction_id,
            "decision_id": decision,
            "application": self._application,
            "type": "answered",
            "value": value,
        }


def decision_id(number: int) -> str:
    """The id of the decision about example `number`; ids sort as the examples do."""
    return f"demo-{number:06}"
