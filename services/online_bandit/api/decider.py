"""From valid requests to replies: decide, encode, make durable, and only then answer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, TypeVar, get_args

from prometheus_client import Histogram

from services.online_bandit.api.arms import ONLINE, Arms
from services.online_bandit.api.deciding import Choice, decide, decide_many
from services.online_bandit.api.encoding import Encoder, dumps
from services.online_bandit.api.experimenting import Trial
from services.online_bandit.api.publishing import Publisher
from services.online_bandit.api.remembered import Remembered, Replies
from services.online_bandit.api.requests import Asked, Refused
from services.online_bandit.api.segments import Record
from services.online_bandit.api.served import ServedPolicy
from services.online_bandit.api.trained import TrainedPolicy
from shared.broker.limits import Headers
from shared.http.errors import Problem
from shared.telemetry.logging import logger
from shared.telemetry.metrics import Metrics
from shared.wire.codec import encode
from shared.wire.rollouts import Arm
from shared.wire.schemas import schema

T = TypeVar("T")

#: Both the id and the type of the interaction that activates a deferred decision.
ACTIVATION = "$activation"


class Counters:
    """The metrics of one application, looked up once."""

    def __init__(self, metrics: Metrics, application: str, online: str) -> None:
        """`online` is the name of the application's online policy."""
        self.seconds = metrics.decision_seconds.labels(application)
        self._arms: Mapping[Arm, Histogram] = {
            arm: metrics.arm_seconds.labels(application, arm) for arm in get_args(Arm)
        }
        self._written = metrics.records_out.labels("decisions")
        self._replaced = metrics.decisions_replaced.labels(application)
        self._decisions = partial(metrics.decisions.labels, application)
        self._known = {(online, "stable"): self._decisions(online, "stable")}
        self._told = ""

    def timed(self, arm: Arm, answer: Callable[[], T]) -> T:
        """What an arm's policy answers, and how long it takes."""
        began = perf_counter()
        answered = answer()
        self._arms[arm].observe(perf_counter() - began)
        return answered

    def count(self, choice: Choice) -> None:
        """A decision that is written."""
        policy = choice.policy
        # Candidates come and go, algorithms do not.
        name = policy.algorithm if isinstance(policy, TrainedPolicy) else policy.name
        kind = name, choice.placed.arm if choice.placed else "stable"
        if kind not in self._known:
            self._known[kind] = self._decisions(*kind)
        self._known[kind].inc()
        self._written.inc()
        if choice.replaced:
            self._replaced.inc()
            if choice.replaced != self._told:
                self._told = choice.replaced
                logger(__name__).error("a trained policy did not decide", why=choice.replaced)


@dataclass(frozen=True)
class Decider:
    """`served` (the online policies) and `arms` are read anew for every request.

    `clock` in ms since 1970, `topic` gives full names.
    """

    served: Mapping[str, ServedPolicy]
    arms: Mapping[str, Arms]
    trials: Mapping[str, Trial]
    killed: Callable[[str], bool]
    """Whether only the online policy is to decide for an application."""
    encoders: Mapping[str, Encoder]
    counters: Mapping[str, Counters]
    publisher: Publisher
    replies: Replies
    metrics: Metrics
    topic: Callable[[str], str]
    clock: Callable[[], int]
    new_id: Callable[[], str]

    async def one(self, asked: Asked, headers: Headers) -> bytes:
        """The reply, once the decision is durable.

        Raises Refused, Forgotten, and what `Publisher.publish` raises.
        """
        began = perf_counter()
        if asked.decision_id is None:
            raw = await self._decide(asked, self.new_id(), headers)
        elif known := self.replies.get(asked.decision_id):
            _check(known, asked)
            raw = await asyncio.shield(known.reply)
        else:
            future = self.replies.begin(asked.decision_id, asked.application.name)
            try:
                raw = await self._decide(asked, asked.decision_id, headers)
            except BaseException:
                self.replies.forget(asked.decision_id)
                raise
            future.set_result(raw)
        self.counters[asked.application.name].seconds.observe(perf_counter() - began)
        return raw

    async def many(self, asked: Sequence[Asked], headers: Headers) -> list[bytes]:
        """The replies in their order, once all decisions are durable. Raises as `one` does."""
        known = [None if one.decision_id is None else self.replies.get(one.decision_id) for one in asked]
        for index, (remembered, one) in enumerate(zip(known, asked, strict=True)):
            _check(remembered, one, index)
        fresh = [index for index, remembered in enumerate(known) if remembered is None]
        given = [(index, one.decision_id) for index in fresh if (one := asked[index]).decision_id is not None]
        futures = {
            index: self.replies.begin(identifier, asked[index].application.name)
            for index, identifier in given
            if identifier is not None
        }
        try:
            found = dict(zip(fresh, await self._decide_many([asked[i] for i in fresh], headers), strict=True))
        except BaseException:
            for index in futures:
                self.replies.forget(asked[index].decision_id or "")
            raise
        for index, future in futures.items():
            future.set_result(found[index])
        return [
            found[index] if remembered is None else await asyncio.shield(remembered.reply)
            for index, remembered in enumerate(known)
        ]

    async def activate(self, application: str, decision_id: str, headers: Headers) -> None:
        """Let a deferred decision count from now on. Doing it again changes nothing."""
        interaction: dict[str, Any] = {
            "interaction_id": ACTIVATION,
            "decision_id": decision_id,
            "application": application,
            "type": ACTIVATION,
            "value": None,
            "attributes": [],
            "occurred_at": None,
        }
        value = encode(schema("interactions"), interaction)
        record = Record(self.topic("interactions"), decision_id.encode(), value, headers)
        await self.publisher.publish(record)
        self.metrics.records_out.labels("interactions").inc()

    async def _decide(self, asked: Asked, decision_id: str, headers: Headers) -> bytes:
        name = asked.application.name
        choice = self._tested(asked, decision_id) or decide(
            *(self.served[name], asked, decision_id, self.arms.get(name, ONLINE)),
            self.counters[name].timed,
        )
        encoder = self.encoders[name]
        await self.publisher.publish(self._record(encoder, asked, choice, self.clock(), headers))
        self.counters[name].count(choice)
        return dumps(encoder.reply(asked, choice))

    async def _decide_many(self, asked: Sequence[Asked], headers: Headers) -> list[bytes]:
        now, records, replies = self.clock(), [], dict[int, bytes]()
        made: list[tuple[Counters, Choice]] = []
        for name in {one.application.name for one in asked}:
            encoder, counters = self.encoders[name], self.counters[name]
            rows = [index for index, one in enumerate(asked) if one.application.name == name]
            group = [asked[index] for index in rows]
            ids = [one.decision_id or self.new_id() for one in group]
            choices = self._choices(name, group, ids)
            for index, one, choice in zip(rows, group, choices, strict=True):
                records.append(self._record(encoder, one, choice, now, headers))
                replies[index] = dumps(encoder.reply(one, choice))
                made.append((counters, choice))
        if records:
            await self.publisher.publish_many(records)
        for counters, choice in made:
            counters.count(choice)
        return [replies[index] for index in range(len(asked))]

    def _choices(self, name: str, asked: Sequence[Asked], ids: Sequence[str]) -> list[Choice]:
        """Of one application's requests, in their order."""
        tested = [self._tested(*each) for each in zip(asked, ids, strict=True)]
        rest = [n for n, choice in enumerate(tested) if choice is None]
        if not rest:
            return [choice for choice in tested if choice is not None]
        decided = iter(
            decide_many(
                self.served[name],
                [asked[n] for n in rest],
                [ids[n] for n in rest],
                self.arms.get(name, ONLINE),
                self.counters[name].timed,
            )
        )
        return [next(decided) if choice is None else choice for choice in tested]

    def _tested(self, asked: Asked, decision_id: str) -> Choice | None:
        name = asked.application.name
        trial = self.trials.get(name)
        return None if trial is None or self.killed(name) else trial.choice(asked, decision_id)

    def _record(self, encoder: Encoder, asked: Asked, choice: Choice, now: int, headers: Headers) -> Record:
        value = encoder.encode(asked, choice, now)
        if len(value) > schema("decisions").limit:
            what = "actions" if asked.action_features.size else "context"
            size = f"{len(value):,} bytes, {schema('decisions').limit:,} are allowed"
            raise Refused([Problem(what, f"is too large: the decision would have {size}")])
        return Record(self.topic("decisions"), choice.decision_id.encode(), value, headers)


def _check(known: Remembered | None, asked: Asked, index: int | None = None) -> None:
    if known is not None and known.application != asked.application.name:
        raise Refused([Problem("decision_id", "was used for another application", index)], status=409)
