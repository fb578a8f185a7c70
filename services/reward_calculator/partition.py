"""One partition of the join: what waits for it, where it stands, and how it is brought back."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from services.reward_calculator.handlers import Handlers, Records
from services.reward_calculator.progress import Progress
from services.reward_calculator.recovery import ReadEmitted, Recovery
from services.reward_calculator.settings import Settings
from shared.broker.inbox import Inbox
from shared.broker.settings import BrokerSettings
from shared.core.join import Decisions, Interactions, Join, Output

GROUP = STAGE = "reward-calculator"
INBOX_BYTES = 8 << 20
"""What may wait for a partition before its inputs are left in Kafka."""
STEP_BYTES = 2 << 20
"""What a partition takes into one step."""


@dataclass(frozen=True)
class Tick:
    """At `time` (ms, this machine's clock) the inputs ended at these offsets."""

    time: int
    ends: tuple[int, int]
    """Of decisions and interactions."""


@dataclass(frozen=True)
class Start:
    """Where a partition takes up its work."""

    decisions: int
    interactions: int
    """First offsets that will be read."""
    target: Progress | None
    """What the last transaction before had taken in, or None for a new partition."""


@dataclass(frozen=True)
class Turn:
    """What a partition takes into its next step."""

    partition: "Partition"
    batches: list[Records] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)


class Partition:
    """State of one partition number of decisions and interactions: a copy of the log, in memory."""

    def __init__(
        self,
        number: int,
        start: Start,
        *,
        handlers: Handlers,
        broker: BrokerSettings,
        settings: Settings,
        read_emitted: ReadEmitted,
        news: Callable[[], None],
    ) -> None:
        """`news` is called whenever a step can be taken."""
        self.number = number
        self.join = Join(handlers.windows, handlers.evaluate, settings.copies_ms)
        self.inbox: Inbox[Records | Tick] = Inbox(INBOX_BYTES)
        self.next = {"decisions": start.decisions, "interactions": start.interactions}
        self._broker, self._skew_ms, self._news = broker, settings.clock_skew_ms, news
        self._read_emitted = read_emitted
        self._recovery = (
            Recovery(number, start.target, dict(self.next), handlers, self.join) if start.target else None
        )
        self._beyond: list[Records] = []

    @property
    def recovering(self) -> bool:
        """Whether the state is still being read back from the log."""
        return self._recovery is not None

    def add(self, item: Records | Tick, size: int = 0) -> None:
        """Hand over what comes next, at once."""
        self.inbox.add(item, size)
        self._news()

    async def put(self, records: Records, size: int) -> None:
        """Hand over what comes next; waits while the inbox is full."""
        await self.inbox.put(records, size)
        self._news()

    async def recover(self) -> None:
        """Return when the state is read back from the log."""
        recovery = self._recovery
        if recovery is None:
            return
        while not recovery.complete:
            await self.inbox.wait()
            for item in self.inbox.take():
                if isinstance(item, Records):
                    recovery.take(item)
        self._beyond = await recovery.finish(self._read_emitted)
        self.next = recovery.positions
        self._recovery = None
        self._news()

    @property
    def waiting(self) -> bool:
        """Whether a step can be taken."""
        return not self.recovering and bool(self._beyond or len(self.inbox))

    def take(self) -> Turn:
        """What has come, up to STEP_BYTES."""
        turn = Turn(self)
        beyond, self._beyond = self._beyond, []
        for item in (*beyond, *self.inbox.take(STEP_BYTES)):
            if isinstance(item, Tick):
                turn.ticks.append(item)
            else:
                turn.batches.append(item)
                self.next[item.topic] = item.next_offset
        return turn

    def step(self, decisions: Decisions | None, interactions: Interactions | None, turn: Turn) -> Output:
        """Join what the turn's batches were found to hold."""
        return self.join.step(decisions, interactions, *self._clocks(turn.ticks))

    def _clocks(self, ticks: list[Tick]) -> tuple[int, int]:
        """Time up to which each input is known to be read whole, though nothing came."""
        clocks = [0, 0]
        for tick in ticks:
            for place, (next_offset, end) in enumerate(zip(self.next.values(), tick.ends, strict=True)):
                if next_offset >= end:
                    clocks[place] = max(clocks[place], tick.time - self._skew_ms)
        return clocks[0], clocks[1]

    def watermark(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """Where a restart begins to read, and beside it how far the work has got."""
        mark = self.join.watermark(self.next["decisions"], self.next["interactions"])
        progress = Progress(
            **self.next,
            decisions_clock=self.join.decisions_clock,
            interactions_clock=self.join.interactions_clock,
        )
        starts = {"decisions": mark.decisions, "interactions": mark.interactions}
        return {
            TopicPartition(self._broker.topic(topic), self.number): OffsetAndMetadata(
                offset, progress.to_metadata()
            )
            for topic, offset in starts.items()
        }
