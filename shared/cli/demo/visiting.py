"""A simulator's subjects at a running loop: they are decided for, act, and come back or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import httpx
import numpy as np

from shared.applications.simulation import Simulator, Situation
from shared.cli.audit.journal import Journal
from shared.cli.demo.playing import decision_id
from shared.cli.demo.posting import post

AT_ONCE = 10
"""Decisions of one request."""
BAD_EVERY = 25
"""So often, in requests, something is sent that has to be refused, for the audit to look for."""


class Visits:
    """Plays a simulator. `journal` keeps what was acknowledged and what was refused."""

    def __init__(
        self,
        simulator: Simulator,
        client: httpx.AsyncClient,
        decisions_url: str,
        collector_url: str,
        random: np.random.Generator,
        acknowledged: Callable[[str], None],
    ) -> None:
        """`acknowledged` hears the decision_id of each decision whose interactions the collector has."""
        self.journal = Journal()
        self.decided = self.told = 0
        self._simulator, self._client, self._random = simulator, client, random
        self._decisions = f"{decisions_url}/v1/decisions/batch"
        self._interactions = f"{collector_url}/v1/interactions"
        self._acknowledged = acknowledged

    async def play(self, decisions: int, rate: float) -> None:
        """Play so many decisions, at most `rate` a second.

        Raises httpx.HTTPError when a service stays away.
        """
        loop = asyncio.get_running_loop()
        began, here = loop.time(), list[Situation]()
        for first in range(0, decisions, AT_ONCE):
            await asyncio.sleep(began + first / rate - loop.time())
            count = min(AT_ONCE, decisions - first)
            here += [self._simulator.start(self._random) for _ in range(count - len(here))]
            asking, here = here[:count], here[count:]
            here = [*await self._visit(first, asking), *here]
            if first % (AT_ONCE * BAD_EVERY) == 0:
                await self._bad(first)

    async def _visit(self, first: int, asking: Sequence[Situation]) -> list[Situation]:
        """Decide and tell; the situations of those who stay."""
        ids = [decision_id(first + n) for n in range(len(asking))]
        asked = [self._request(identifier, each) for identifier, each in zip(ids, asking, strict=True)]
        reply = await post(self._client, self._decisions, {"decisions": asked})
        self.journal.decisions.acknowledged.update(ids)
        self.decided += len(ids)
        told, staying = [], []
        for situation, decided in zip(asking, reply.json()["decisions"], strict=True):
            several, following = self._simulator.follow(situation, decided["action"], self._random)
            told += [self._told(decided["decision_id"], n, each) for n, each in enumerate(several)]
            staying += [following] if following else []
        await post(self._client, self._interactions, {"interactions": told})
        self.journal.interactions.acknowledged.update(str(each["interaction_id"]) for each in told)
        self.told += len(told)
        for each in told:
            self._acknowledged(str(each["decision_id"]))
        return staying

    async def _bad(self, number: int) -> None:
        """Send what must be refused: a decision without context, and a batch with one bad interaction."""
        name, situation = f"refused-{number}", self._simulator.start(self._random)
        nothing = self._request(name, situation) | {"context": {}}
        if (await post(self._client, self._decisions, {"decisions": [nothing]}, 422)).is_client_error:
            self.journal.decisions.refused.add(name)
        several, _ = self._simulator.follow(situation, self._simulator.actions[0], self._random)
        good = self._told(decision_id(number), f"{name}-0", several[0])
        bad = self._told(decision_id(number), f"{name}-1", several[0]) | {"value": "one"}
        if (await post(self._client, self._interactions, {"interactions": [good, bad]}, 422)).is_client_error:
            self.journal.interactions.refused |= {str(good["interaction_id"]), str(bad["interaction_id"])}

    def _request(self, identifier: str, situation: Situation) -> dict[str, object]:
        return {
            "application": self._simulator.application,
            "subject_id": situation.subject_id,
            "decision_id": identifier,
            "context": situation.context,
        }

    def _told(self, decision: str, n: int | str, interaction: dict[str, object]) -> dict[str, object]:
        ids = {"interaction_id": f"{decision}-{n}", "decision_id": decision}
        return {**interaction, **ids, "application": self._simulator.application}
