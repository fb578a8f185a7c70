"""What the spool has answered for is on disk, in order, and reaches Kafka once Kafka is back."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.online_bandit.api import segments
from services.online_bandit.api.publishing import Publisher
from services.online_bandit.api.segments import Record
from services.online_bandit.api.spool import Spool, SpoolFull
from shared.broker.producers import BufferFull, Unavailable
from shared.telemetry.metrics import Metrics
from tests.waiting import until

LIMIT = 1 << 20


def record(number: int) -> Record:
    headers = (("traceparent", b"00-1"), ("tracestate", b"")) if number % 2 else ()
    return Record("p-decisions", f"d-{number}".encode(), bytes([number % 256]) * 50, headers)


class Kafka:
    """A producer that keeps what it is given, refuses while it is `away`, and may take before it refuses."""

    def __init__(self, *, away: bool = False, takes_anyway: bool = False) -> None:
        self.away, self.takes_anyway = away, takes_anyway
        self.log: list[Record] = []
        self.full = False

    async def send(
        self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        await self.send_many(topic, [(key, value)], headers)

    async def send_many(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        await asyncio.sleep(0)
        if self.full:
            raise BufferFull("full")
        if not self.away or self.takes_anyway:
            self.log += [Record(topic, key, value, tuple(headers)) for key, value in records]
        if self.away:
            raise Unavailable("no answer", maybe_written=self.takes_anyway)


async def drained(spool: Spool) -> list[Record]:
    found: list[Record] = []

    async def take(records: Sequence[Record]) -> None:
        found.extend(records)

    await spool.drain(take)
    return found


async def test_records_come_back_in_order_and_then_nothing_is_left(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT)
    await asyncio.gather(*(spool.append([record(number)]) for number in range(200)))
    assert spool.records == 200
    assert spool.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert await drained(spool) == [record(number) for number in range(200)]
    assert (spool.records, spool.bytes, list(tmp_path.iterdir())) == (0, 0, [])


async def test_records_survive_a_process_that_ends_without_a_word(tmp_path: Path) -> None:
    for start in (0, 3, 6):
        spool = Spool(tmp_path, LIMIT)
        assert spool.records == start
        await spool.append([record(number) for number in range(start, start + 3)])
    assert await drained(Spool(tmp_path, LIMIT)) == [record(number) for number in range(9)]


@pytest.mark.parametrize("cut", [1, 5, 30])
async def test_half_a_record_at_the_end_is_set_apart_and_the_others_are_kept(
    tmp_path: Path, cut: int
) -> None:
    await Spool(tmp_path, LIMIT).append([record(number) for number in range(5)])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    spool = Spool(tmp_path, LIMIT)
    await spool.append([record(7)])
    assert await drained(spool) == [record(0), record(1), record(2), record(3), record(7)]
    (rest,) = tmp_path.glob("*.rest")
    assert whole.startswith(path.read_bytes() if path.exists() else b"")
    assert whole[:-cut].endswith(rest.read_bytes())


async def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    await Spool(tmp_path, LIMIT).append([record(0), record(1)])
    (path,) = tmp_path.iterdir()
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    assert await drained(Spool(tmp_path, LIMIT)) == [record(0)]


async def test_beyond_its_limit_the_spool_refuses_and_goes_on_after_it_has_emptied(tmp_path: Path) -> None:
    size = len(segments.framed(record(0)))
    spool = Spool(tmp_path, 3 * size)
    await spool.append([record(0), record(2)])
    with pytest.raises(SpoolFull):
        await spool.append([record(4), record(6)])
    assert await drained(spool) == [record(0), record(2)]
    await spool.append([record(4), record(6)])


async def test_what_a_failing_publish_leaves_is_published_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT)
    await spool.append([record(0), record(1)])

    async def fail(_: Sequence[Record]) -> None:
        raise Unavailable("no", maybe_written=False)

    with pytest.raises(Unavailable):
        await spool.drain(fail)
    await spool.append([record(2)])
    assert await drained(spool) == [record(0), record(1), record(2)]


async def test_a_disk_that_refuses_is_an_error_and_counts_for_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", LIMIT)
    (tmp_path / "spool").rmdir()
    with pytest.raises(OSError, match="No such file"):
        await spool.append([record(0)])
    assert (spool.records, spool.bytes) == (0, 0)


async def test_segments_rotate_and_go_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.online_bandit.api.spool.SEGMENT_BYTES", 200)
    spool = Spool(tmp_path, LIMIT)
    for number in range(10):
        await spool.append([record(number)])
    assert len(list(tmp_path.iterdir())) > 2
    assert await drained(Spool(tmp_path, LIMIT)) == [record(number) for number in range(10)]


@pytest.fixture
async def metrics() -> Metrics:
    return Metrics()


async def test_kafka_away_means_the_spool_at_once_and_kafka_back_means_kafka(
    tmp_path: Path, metrics: Metrics
) -> None:
    kafka, spool = Kafka(away=True), Spool(tmp_path, LIMIT)
    publisher = Publisher(kafka, spool, metrics, retry_s=0.01)
    await publisher.start()
    await publisher.publish(record(0))
    assert publisher.spooling
    await publisher.publish(record(1))
    await publisher.publish_many([record(2), record(3)])
    assert (kafka.log, spool.records) == ([], 4)
    kafka.away = False
    await until(lambda: not publisher.spooling)
    await publisher.publish(record(4))
    assert kafka.log == [record(number) for number in range(5)]
    assert spool.records == 0
    await publisher.stop()


async def test_what_kafka_may_have_taken_is_spooled_with_the_very_same_bytes(
    tmp_path: Path, metrics: Metrics
) -> None:
    kafka, spool = Kafka(away=True, takes_anyway=True), Spool(tmp_path, LIMIT)
    publisher = Publisher(kafka, spool, metrics, retry_s=0.01)
    await publisher.publish(record(0))
    kafka.away = False
    await until(lambda: not publisher.spooling)
    assert set(kafka.log) == {record(0)}
    assert len(kafka.log) >= 2
    await publisher.stop()


async def test_an_earlier_process_left_records_that_go_first(tmp_path: Path, metrics: Metrics) -> None:
    await Spool(tmp_path, LIMIT).append([record(0), record(1)])
    kafka, spool = Kafka(), Spool(tmp_path, LIMIT)
    publisher = Publisher(kafka, spool, metrics, retry_s=0.01)
    await publisher.start()
    await publisher.publish(record(2))
    await until(lambda: not publisher.spooling)
    assert kafka.log == [record(0), record(1), record(2)]
    await publisher.stop()


async def test_records_that_arrive_while_the_spool_empties_stay_behind_it(
    tmp_path: Path, metrics: Metrics
) -> None:
    kafka, spool = Kafka(away=True), Spool(tmp_path, LIMIT)
    publisher = Publisher(kafka, spool, metrics, retry_s=0.005)
    await asyncio.gather(*(publisher.publish(record(number)) for number in range(50)))
    kafka.away = False
    number = 50
    while publisher.spooling:
        await publisher.publish(record(number))
        number += 1
    await publisher.publish(record(number))
    assert kafka.log[50:] == [record(each) for each in range(50, number + 1)]
    assert sorted(kafka.log[:50]) == sorted(record(each) for each in range(50))
    await publisher.stop()


async def test_a_full_buffer_is_told_instead_of_spooled(tmp_path: Path, metrics: Metrics) -> None:
    kafka, spool = Kafka(), Spool(tmp_path, LIMIT)
    kafka.full = True
    publisher = Publisher(kafka, spool, metrics, retry_s=0.01)
    with pytest.raises(BufferFull):
        await publisher.publish(record(0))
    assert not publisher.spooling
    assert spool.records == 0
