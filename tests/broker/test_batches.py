"""Faust over batches, on a real Kafka."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from shared.broker.batches import Batch, BatchApp, Hooks, Offsets, Partitions, create_app, serve
from shared.broker.ledger import read_all
from shared.broker.settings import BrokerSettings
from tests.waiting import until

PARTITIONS = range(4)
LIMIT = 60.0
"""Seconds within which anything awaited here must come about."""


def parts(topic: str, numbers: Iterable[int] = PARTITIONS) -> Partitions:
    return frozenset(TopicPartition(topic, number) for number in numbers)


@asynccontextmanager
async def producer(
    settings: BrokerSettings, transactional_id: str | None = None, codec: str | None = None
) -> AsyncIterator[AIOKafkaProducer]:
    found = AIOKafkaProducer(
        **settings.aiokafka(),
        enable_idempotence=True,
        transactional_id=transactional_id,
        compression_type=codec,
    )
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


async def write(settings: BrokerSettings, topic: str, values: Iterable[bytes], partition: int) -> None:
    async with producer(settings) as sender:
        sent = [await sender.send(topic, value, b"key " + value, partition=partition) for value in values]
        await asyncio.gather(*sent)


async def write_all(settings: BrokerSettings, topic: str, each: int, start: int = 0) -> None:
    """`each` records to every partition, their values their offsets."""
    for partition in PARTITIONS:
        await write(settings, topic, (b"%d" % n for n in range(start, start + each)), partition)


async def committed(settings: BrokerSettings, group: str, topic: str) -> list[int | None]:
    reader = AIOKafkaConsumer(**settings.aiokafka(), group_id=settings.group(group), enable_auto_commit=False)
    reader.assign(list(parts(topic)))
    await reader.start()
    try:
        return [await reader.committed(TopicPartition(topic, number)) for number in PARTITIONS]
    finally:
        await reader.stop()


async def committed_up_to(settings: BrokerSettings, topic: str, wanted: list[int | None]) -> None:
    """Wait until the group `g` has committed this."""

    async def there() -> bool:
        return await committed(settings, "g", topic) == wanted

    assert await until(there)


class Worker:
    """An app in this loop that notes what it is given."""

    def __init__(
        self,
        settings: BrokerSettings,
        *topics: str,
        group: str = "g",
        hooks: Hooks | None = None,
        handle: Callable[[Batch], object] = lambda batch: None,
        **options: object,
    ) -> None:
        hooks = hooks or Hooks()
        self._hooks = hooks
        self.held: Partitions = frozenset()
        self.batches: list[Batch] = []
        self.strays: list[Batch] = []
        self.app: BatchApp = create_app(
            group,
            settings,
            hooks=replace(hooks, assigned=self._assigned, revoked=self._revoked),
            **options,
        )
        self.stop = asyncio.Event()
        self._handle = handle
        self._task: asyncio.Task[None] | None = None

        @self.app.agent(self.app.batches(*topics))
        async def work(stream: AsyncIterator[Batch]) -> None:
            async for batch in stream:
                await self._work(batch)

    async def _work(self, batch: Batch) -> None:
        if TopicPartition(batch.topic, batch.partition) not in self.held:
            self.strays.append(batch)
        answer = self._handle(batch)
        if asyncio.iscoroutine(answer):
            await answer
        self.batches.append(batch)

    async def _assigned(self, partitions: Partitions) -> None:
        await self._hooks.assigned(partitions)
        assert not self.held
        self.held = partitions

    async def _revoked(self, partitions: Partitions) -> None:
        assert partitions == self.held
        await self._hooks.revoked(partitions)
        self.held = frozenset()

    def start(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(serve(self.app, self.stop))
        return self._task

    async def end(self) -> None:
        self.stop.set()
        assert self._task is not None
        async with asyncio.timeout(LIMIT):
            await self._task

    async def __aenter__(self) -> Worker:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    def values(self, topic: str) -> dict[int, list[bytes | None]]:
        found: dict[int, list[bytes | None]] = defaultdict(list)
        for batch in self.batches:
            if batch.topic == topic:
                found[batch.partition] += batch.values
        return found

    def count(self) -> int:
        return sum(map(len, self.batches))


@pytest.fixture
def topic(topics: BrokerSettings) -> str:
    return topics.topic("decisions")


async def test_a_batch_holds_the_records_as_they_were_written(topics: BrokerSettings, topic: str) -> None:
    async with producer(topics) as sender:
        sent = [
            await sender.send(topic, b"v%d" % n, b"k%d" % n, partition=2, headers=[("n", b"%d" % n)])
            for n in range(5)
        ]
        sent.append(await sender.send(topic, None, b"gone", partition=2))
        written = await asyncio.gather(*sent)
    async with Worker(topics, topic) as worker:
        await until(lambda: worker.count() == 6)
    [batch] = worker.batches
    assert (batch.topic, batch.partition, len(batch), batch.next_offset) == (topic, 2, 6, 6)
    assert list(batch.values) == [b"v0", b"v1", b"v2", b"v3", b"v4", None]
    assert list(batch.keys) == [b"k0", b"k1", b"k2", b"k3", b"k4", b"gone"]
    assert [dict(record.headers) for record in batch.records] == [{"n": b"%d" % n} for n in range(5)] + [{}]
    assert batch.offsets.tolist() == list(range(6))
    assert batch.timestamps.tolist() == [record.timestamp for record in written]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_producers_may_compress_as_they_like(topics: BrokerSettings, topic: str, codec: str) -> None:
    values = [b"value %d " % n * 10 for n in range(50)]
    async with producer(topics, codec=codec) as sender:
        await asyncio.gather(*[await sender.send(topic, value, partition=1) for value in values])
    async with Worker(topics, topic) as worker:
        await until(lambda: worker.count() == 50)
    assert worker.values(topic)[1] == values
    read = await asyncio.to_thread(list, read_all(topics, "decisions", 1))  # by the other client
    assert [record.value for record in read] == values


async def test_what_is_done_is_committed_to_the_record(topics: BrokerSettings, topic: str) -> None:
    await write_all(topics, topic, 1000)
    worker = Worker(
        topics, topic, max_records=70, handle=lambda _: len(worker.batches) == 20 and worker.stop.set()
    )
    async with worker:
        await worker.stop.wait()
    assert 0 < worker.count() < 4000
    done = worker.values(topic)
    assert [offset or 0 for offset in await committed(topics, "g", topic)] == [
        len(done[n]) for n in PARTITIONS
    ]


async def test_what_is_done_is_committed_while_running(topics: BrokerSettings, topic: str) -> None:
    await write_all(topics, topic, 10)
    async with Worker(topics, topic, commit_seconds=0.1):
        await committed_up_to(topics, topic, [10, 10, 10, 10])


async def test_every_record_is_done_once_and_in_order_while_workers_come_and_go(
    topics: BrokerSettings, topic: str
) -> None:
    """Nothing is committed but on rebalances and stops, so whatever these forgot would come twice."""

    async def slowly(batch: Batch) -> None:
        order.extend((batch.partition, value) for value in batch.values)
        await asyncio.sleep(0.005)

    async def feed() -> int:
        written = 0
        async with producer(topics) as sender:
            while not enough.is_set():
                for partition in PARTITIONS:
                    await sender.send(topic, b"%d" % written, partition=partition)
                written += 1
                await asyncio.sleep(0.002)
            await sender.flush()
        return written

    enough = asyncio.Event()
    order: list[tuple[int, bytes | None]] = []
    feeding = asyncio.create_task(feed())
    options = {"commit_seconds": 3600.0, "max_records": 50, "handle": slowly}
    async with Worker(topics, topic, **options) as first:
        await until(lambda: first.count() > 200)
        async with Worker(topics, topic, **options) as second:
            await until(lambda: second.count() > 500)
            async with Worker(topics, topic, **options) as third:
                await until(lambda: third.count() > 500)
        await until(lambda: len(first.held) == 4)
        enough.set()
        written = await feeding
        await until(lambda: len(order) >= 4 * written)
    for partition in PARTITIONS:
        done = [value for number, value in order if number == partition]
        assert done == [b"%d" % n for n in range(written)]
    assert [first.strays, second.strays, third.strays] == [[], [], []]
    assert await committed(topics, "g", topic) == [written] * 4


async def test_a_batch_that_raises_is_not_committed_and_stops_the_worker(
    topics: BrokerSettings, topic: str
) -> None:
    def fail(batch: Batch) -> None:
        if b"7" in batch.values:
            raise RuntimeError("seven")

    await write(topics, topic, (b"%d" % n for n in range(5)), 1)
    failing = Worker(topics, topic, handle=fail, commit_seconds=0.05)
    task = failing.start()
    await until(lambda: failing.count() == 5)
    await committed_up_to(topics, topic, [None, 5, None, None])
    await write(topics, topic, (b"%d" % n for n in range(5, 10)), 1)
    with pytest.raises(RuntimeError, match="seven"):
        await asyncio.wait_for(task, LIMIT)
    done = failing.count()
    assert 5 <= done < 8
    assert (await committed(topics, "g", topic))[1] in range(5, done + 1)

    async with Worker(topics, topic) as healthy:
        await until(lambda: b"9" in healthy.values(topic)[1])
    assert healthy.values(topic)[1][-3:] == [b"7", b"8", b"9"]


async def test_stopping_waits_for_the_batch_in_hand_and_commits_it(
    topics: BrokerSettings, topic: str
) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def hold(batch: Batch) -> None:
        begun.set()
        await finish.wait()

    await write(topics, topic, [b"a", b"b"], 3)
    worker = Worker(topics, topic, handle=hold, commit_seconds=3600.0)
    task = worker.start()
    await asyncio.wait_for(begun.wait(), LIMIT)
    worker.stop.set()
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.5)
    assert not task.done()
    finish.set()
    await asyncio.wait_for(task, LIMIT)
    assert worker.values(topic)[3] == [b"a", b"b"]
    assert worker.held == frozenset()
    assert (await committed(topics, "g", topic))[3] == 2


async def test_a_rebalance_waits_for_the_batch_in_hand_and_the_hook(
    topics: BrokerSettings, topic: str
) -> None:
    """Handing over as services do: the agent fills a bounded queue, a task for each partition empties it."""
    order: list[str] = []
    queues = {tp: asyncio.Queue[Batch](1) for tp in parts(topic)}
    slow = asyncio.Event()

    async def hand_over(batch: Batch) -> None:
        await queues[TopicPartition(batch.topic, batch.partition)].put(batch)

    async def partition(queue: asyncio.Queue[Batch]) -> None:
        while True:
            batch = await queue.get()
            await slow.wait()
            order.extend(f"first {batch.partition}" for _ in batch.values)
            queue.task_done()

    async def drain(partitions: Partitions) -> None:
        await asyncio.gather(*(queues[tp].join() for tp in partitions))
        order.append("revoked")

    first = Worker(topics, topic, handle=hand_over, hooks=Hooks(revoked=drain), max_records=5)
    tasks = [asyncio.create_task(partition(queue)) for queue in queues.values()]
    await write_all(topics, topic, 3)
    async with first:
        await until(lambda: all(not queue.empty() for queue in queues.values()) or first.count() > 3)
        second = Worker(topics, topic, handle=lambda batch: order.append("second"))
        second.start()
        with suppress(TimeoutError):
            await asyncio.wait_for(until(lambda: bool(second.held)), 2.0)
        assert not second.held, "partitions were given away while the first worker was still busy with them"
        slow.set()
        await until(lambda: bool(second.held) and bool(first.held))
        for number in PARTITIONS:
            await write(topics, topic, [b"more"], number)
        await until(lambda: "second" in order)
        assert "revoked" in order[: order.index("second")]
        assert {tp.partition for tp in second.held}.isdisjoint(tp.partition for tp in first.held)
        await second.end()
    for task in tasks:
        task.cancel()
    assert [first.strays, second.strays] == [[], []]


async def test_start_offsets_override_what_the_group_committed(topics: BrokerSettings, topic: str) -> None:
    await write_all(topics, topic, 20)
    async with Worker(topics, topic) as before:
        await until(lambda: before.count() == 80)
    assert await committed(topics, "g", topic) == [20] * 4
    asked: list[Partitions] = []

    async def start(partitions: Partitions) -> Offsets:
        asked.append(partitions)
        return {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 13, TopicPartition(topic, 2): 20}

    async with Worker(topics, topic, hooks=Hooks(start_offsets=start), commits="none") as worker:
        await until(lambda: len(worker.held) == 4)
        for number in (2, 3):
            await write(topics, topic, [b"new"], number)
        await until(lambda: worker.count() >= 29)
    assert asked == [parts(topic)]
    old = [b"%d" % n for n in range(20)]
    assert worker.values(topic) == {0: old, 1: old[13:], 2: [b"new"], 3: [b"new"]}


async def test_start_offsets_are_asked_again_on_every_assignment(topics: BrokerSettings, topic: str) -> None:
    await write_all(topics, topic, 5)
    following: dict[TopicPartition, int] = defaultdict(int)
    order: list[tuple[int, bytes | None]] = []

    def handle(batch: Batch) -> None:
        following[TopicPartition(batch.topic, batch.partition)] = batch.next_offset
        order.extend((batch.partition, value) for value in batch.values)

    async def start(partitions: Partitions) -> Offsets:
        return {tp: following[tp] for tp in partitions}

    options = {"hooks": Hooks(start_offsets=start), "handle": handle, "commits": "none"}
    async with Worker(topics, topic, **options) as first:
        await until(lambda: len(order) == 20)
        async with Worker(topics, topic, **options) as second:
            await until(lambda: len(second.held) == 2 == len(first.held))
            await write_all(topics, topic, 5, 5)
            await until(lambda: len(order) == 40)
        await until(lambda: len(first.held) == 4)
        await write_all(topics, topic, 5, 10)
        await until(lambda: len(order) >= 60)
    for partition in PARTITIONS:
        assert [value for number, value in order if number == partition] == [b"%d" % n for n in range(15)]
    assert await committed(topics, "g", topic) == [None] * 4


async def test_the_service_commits_in_its_own_transactions(topics: BrokerSettings, topic: str) -> None:
    await write_all(topics, topic, 10)
    async with Worker(topics, topic, commits="none") as worker, producer(topics, "own") as writer:
        await until(lambda: worker.count() == 40)
        async with writer.transaction():
            await writer.send_offsets_to_transaction(
                {TopicPartition(topic, 1): OffsetAndMetadata(4, "mine")}, topics.group("g")
            )
    await committed_up_to(topics, topic, [None, 4, None, None])  # told later than the transaction's end
    async with Worker(topics, topic, commits="none") as again:
        await until(lambda: again.count() == 36)
    assert again.values(topic)[1] == [b"%d" % n for n in range(4, 10)]


@pytest.mark.parametrize("workers", [2, 3])
async def test_partitions_of_the_same_number_go_to_the_same_worker(
    topics: BrokerSettings, workers: int
) -> None:
    both = topics.topics(["decisions", "interactions"])
    crew = [Worker(topics, *both) for _ in range(workers)]
    for worker in crew:
        worker.start()
    await until(lambda: all(worker.held for worker in crew) and sum(len(worker.held) for worker in crew) == 8)
    for worker in crew:
        mine = [{tp.partition for tp in worker.held if tp.topic == name} for name in both]
        assert mine[0] == mine[1]
    for worker in crew:
        await worker.end()


async def test_only_committed_records_are_read_and_offsets_reach_the_end(
    topics: BrokerSettings, topic: str
) -> None:
    async def transact(values: Sequence[bytes], abort: bool = False) -> None:
        await writer.begin_transaction()
        for value in values:
            await writer.send_and_wait(topic, value, partition=0)
        await (writer.abort_transaction() if abort else writer.commit_transaction())

    where = TopicPartition(topic, 0)
    async with Worker(topics, topic, empty_batches=True) as worker, producer(topics, "writer") as writer:
        await transact([b"a", b"b"])
        await transact([b"never"], abort=True)
        await until(lambda: bool(worker.batches) and worker.batches[-1].next_offset == 5)
        await transact([b"c"])
        await transact([b"nor this"], abort=True)
        await until(lambda: worker.batches[-1].next_offset == 9)
        assert await worker.app.end_offsets([where]) == {where: 9}
        assert await worker.app.position(where) == 9
    assert worker.values(topic) == {0: [b"a", b"b", b"c"]}
    assert (await committed(topics, "g", topic))[0] == 9


async def test_paused_partitions_wait_while_others_go_on(topics: BrokerSettings, topic: str) -> None:
    async def pause(partitions: Partitions) -> None:
        worker.app.pause(parts(topic, [0, 1]))

    await write_all(topics, topic, 50)
    async with Worker(topics, topic, hooks=Hooks(assigned=pause)) as worker:
        await until(lambda: len(worker.values(topic)[2]) == len(worker.values(topic)[3]) == 50)
        assert not worker.values(topic)[0]
        assert not worker.values(topic)[1]
        worker.app.resume(parts(topic, [0]))
        await until(lambda: len(worker.values(topic)[0]) == 50)
        assert not worker.values(topic)[1]
        worker.app.resume(parts(topic, [1]))
        await until(lambda: len(worker.values(topic)[1]) == 50)


async def test_a_hook_that_raises_stops_the_worker(topics: BrokerSettings, topic: str) -> None:
    async def refuse(partitions: Partitions) -> None:
        raise LookupError("no snapshot")

    await write_all(topics, topic, 1)
    for hooks in (Hooks(assigned=refuse), Hooks(start_offsets=refuse), Hooks(revoked=refuse)):
        worker = Worker(topics, topic, hooks=hooks)
        task = worker.start()
        if hooks.revoked is refuse:
            await until(lambda worker=worker: worker.count() > 0)
            worker.stop.set()
        with pytest.raises(LookupError, match="no snapshot"):
            await asyncio.wait_for(task, LIMIT)


async def test_a_service_that_fails_stops_the_worker(topics: BrokerSettings, topic: str) -> None:
    async def fail() -> None:
        await until(lambda: bool(worker.held))
        raise OSError("port in use")

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(worker.app.state)

    async def short() -> None:
        ended.append("short")

    ended: list[str] = []
    worker = Worker(topics, topic)
    with pytest.raises(OSError, match="port in use"):
        await asyncio.wait_for(serve(worker.app, worker.stop, short, forever, fail), LIMIT)
    assert ended == ["short", "crashed"]


PROCESS = """
import sys
import weakref
from shared.broker.batches import Hooks, create_app, run
from shared.broker.settings import BrokerSettings

app = create_app("g", BrokerSettings(), session_ms=120_000, instance=sys.argv[1] or None)

@app.agent(app.batches(BrokerSettings().topic("decisions")))
async def work(stream):
    async for batch in stream:
        print(*(value.decode() for value in batch.values), flush=True)
        if b"bad" in batch.values:
            raise ValueError("bad")
        if b"cycle" in batch.values:
            held = type("Held", (), {})()
            held.itself = held
            weakref.finalize(held, print, "let go", flush=True)
            del held

run(app)
"""


@pytest.fixture
def process(topics: BrokerSettings, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    environment = {"STREAMWHEEL_BROKER": topics.broker, "STREAMWHEEL_TOPIC_PREFIX": topics.topic_prefix}

    def begin(instance: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROCESS, instance],
            env=environment,
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return begin


async def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), LIMIT)).strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_that_is_told_to_stop_commits_and_exits_with_0(
    topics: BrokerSettings,
    topic: str,
    process: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    await write(topics, topic, [b"x"], 0)
    # The first question of all makes Kafka make its topic of offsets, of which clients complain meanwhile.
    assert (await committed(topics, "g", topic))[0] is None
    with process() as running:
        assert await line(running) == "x"
        running.send_signal(number)
        out, err = await asyncio.to_thread(running.communicate, timeout=LIMIT)
    assert (running.returncode, out, err) == (0, "", "")
    assert (await committed(topics, "g", topic))[0] == 1
    assert list(tmp_path.iterdir()) == []


async def test_what_batches_leave_in_cycles_is_let_go_though_they_are_few(
    topics: BrokerSettings, topic: str, process: Callable[..., subprocess.Popen[str]]
) -> None:
    await write(topics, topic, [b"cycle"], 0)
    with process() as running:
        assert await line(running) == "cycle"
        assert await line(running) == "let go"
        running.kill()


async def test_a_process_whose_agent_raises_exits_with_1(
    topics: BrokerSettings, topic: str, process: Callable[..., subprocess.Popen[str]]
) -> None:
    await write(topics, topic, [b"bad"], 0)
    with process() as running:
        _, err = await asyncio.to_thread(running.communicate, timeout=LIMIT)
    assert running.returncode == 1
    assert "ValueError: bad" in err
    assert (await committed(topics, "g", topic))[0] is None


async def test_a_killed_instance_takes_up_its_partitions_at_once(
    topics: BrokerSettings, topic: str, process: Callable[..., subprocess.Popen[str]]
) -> None:
    """Without an instance name the group would wait two minutes for the dead worker."""
    await write(topics, topic, [b"x"], 0)
    with process("one") as killed:
        assert await line(killed) == "x"
        killed.kill()
    await write(topics, topic, [b"y"], 0)
    async with asyncio.timeout(LIMIT):
        with process("one") as restarted:
            assert "y" in (await line(restarted)).split()
            restarted.terminate()
            await asyncio.to_thread(restarted.communicate, timeout=LIMIT)
    assert restarted.returncode == 0
