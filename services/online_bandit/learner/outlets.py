"""What of a policy's statistics is published, and when: small ones whole, large ones by their news."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.policies.learner import Learner
from shared.wire.policy_updates import (
    CHUNK_BYTES,
    DELTA_SLOTS,
    Keyed,
    Source,
    delta_record,
    scaling_record,
    snapshot_records,
)

NUMBER_BYTES = 8
PHASE = 0.618
"""Of a period between the snapshots of one partition and the next, the golden ratio: never all at once."""
HEADER_BYTES = 1_000
"""More than the names and shapes in front of a delta's rows take."""
SNAPSHOT_MARGIN = 8
"""Slots of the ring of deltas that stay free when the next whole snapshot is due."""
MOST_DELTAS = DELTA_SLOTS - SNAPSHOT_MARGIN
"""Deltas between two snapshots."""


def snapshot_size(learner: Learner) -> int:
    """About how many bytes a learner's statistics take, its open rows left out."""
    actions, size = learner.actions, learner.folded.size
    return NUMBER_BYTES * actions * (size * (size + 1) // 2 + size + 2)


def row_size(learner: Learner) -> int:
    """Bytes of one row in a delta: context, action, reward, freshness and time."""
    return 4 * (learner.width + learner.action_width) + 4 + 8 + 1 + 8


@dataclass
class PolicyState:
    """One application's policy in one partition: its learner, and what is published of it."""

    source: Source
    learner: Learner
    next_offset: int
    """First offset of the rewards that is not learnt."""
    sequence: int = 0
    """Of the last update published."""
    news: bool = False
    """Something is learnt that is not published."""
    proposed: bool = False
    """This learner's scaling is published."""
    published_offset: int = 0
    """First offset that is not in what is published."""
    published_rows: int = 0
    """Rows in what is published."""
    whole_s: float | None = None
    """When the last whole snapshot was published (monotonic clock); None for not by this process."""
    whole_bytes: int = 0
    """Its size."""
    delta_s: float = -math.inf
    deltas: int = 0
    """Published since the last whole snapshot, and when the last one was."""
    incomplete: bool = False
    """Rows were left out of the deltas, so a whole snapshot has to come next."""

    def __post_init__(self) -> None:
        self.published_offset, self.published_rows = self.next_offset, self.learner.learnt

    @property
    def learnt_offset(self) -> int:
        """First offset that is unknown to a reader of all that is published."""
        return self.published_offset if self.news else self.next_offset

    def next_sequence(self) -> int:
        """The number of the next update."""
        self.sequence += 1
        return self.sequence

    def is_published(self) -> None:
        """All that is learnt is in the updates."""
        self.news = False
        self.published_offset, self.published_rows = self.next_offset, self.learner.learnt


class Outlet:
    """Turns the news of policy states into updates, within a budget.

    A small policy is published whole every time. Of a large one, every pause, the new rows are; and whole
    snapshots as often as the budget allows, so that readers can begin with them.
    """

    def __init__(self, small_bytes: int, rate: float, pause_s: float) -> None:
        """`rate`: bytes a second that this process may spend on whole snapshots of large policies."""
        self._small, self._rate, self._pause_s = small_bytes, rate, pause_s
        self.sharing = 1
        """How many large states share the rate."""

    def is_large(self, learner: Learner) -> bool:
        """Whether rows are published between snapshots; such a learner has to track them."""
        return snapshot_size(learner) > self._small

    def updates(self, state: PolicyState, now_s: float) -> Iterator[Keyed]:
        """The records that tell what is new in `state`; none if there is no news, or it has to wait.

        All of them belong into one transaction, before the progress that names the state's offset.
        """
        yield from _proposal(state)
        if not state.news:
            return
        if self.is_large(state.learner):
            yield from self._large(state, now_s)
        elif state.whole_s is None or now_s - state.whole_s >= state.whole_bytes / self._rate:
            yield from _whole(state, now_s)

    def _large(self, state: PolicyState, now_s: float) -> Iterator[Keyed]:
        learner, size = state.learner, snapshot_size(state.learner)
        rows = learner.learnt - state.published_rows
        if rows * row_size(learner) > size:
            _discard(state)
        period_s = max(size, state.whole_bytes) * self.sharing / self._rate
        ahead_s = period_s * (PHASE * state.source.partition % 1.0)
        if state.whole_s is None and not state.published_rows:
            state.whole_s = now_s - ahead_s  # deltas alone tell all, from the first row on
        due = state.whole_s is None or now_s - state.whole_s >= period_s
        if now_s - state.delta_s < max(self._pause_s, period_s / MOST_DELTAS) and not due:
            return
        most = (CHUNK_BYTES - HEADER_BYTES) // row_size(learner)
        if not state.incomplete and state.deltas + -(-rows // most) <= MOST_DELTAS:
            yield from _deltas(state, most)
            state.delta_s = now_s
            if not due:
                state.is_published()
        if due:
            yield from _whole(state, now_s if state.whole_s is not None else now_s - ahead_s)


def _proposal(state: PolicyState) -> Iterator[Keyed]:
    if state.source.partition == 0 and not state.proposed and state.learner.scaling is None:
        scaling = state.learner.propose_scaling()
        if scaling is not None:
            state.proposed = True
            yield scaling_record(state.source, scaling, sequence=state.next_sequence())


def _deltas(state: PolicyState, most: int) -> Iterator[Keyed]:
    first, count = state.published_offset, state.published_rows
    while (delta := state.learner.drain_delta(most)) is not None:
        count = min(count + most, state.learner.learnt)
        last = count == state.learner.learnt  # only the last one's reader has all up to the offset
        yield delta_record(
            state.source,
            delta,
            sequence=state.next_sequence(),
            first_offset=first,
            next_offset=state.next_offset if last else first,
            count=count,
        )
        state.deltas += 1


def _whole(state: PolicyState, now_s: float) -> Iterator[Keyed]:
    _discard(state)
    records = snapshot_records(
        state.source, state.learner, sequence=state.next_sequence(), next_offset=state.next_offset
    )
    yield from records
    state.whole_s, state.whole_bytes = now_s, sum(len(record["payload"]) for _, record in records)
    state.deltas, state.incomplete = 0, False
    state.is_published()


def _discard(state: PolicyState) -> None:
    """Let go of the rows for the next delta."""
    if state.learner.drain_delta() is not None:
        state.incomplete = True
