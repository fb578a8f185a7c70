"""Every reward is archived once, whatever happens to the writer, and read back exactly by its offset."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shared.archive.archive import Archive, Overtaken
from shared.archive.columns import decode
from shared.archive.names import Part, parse_part, parse_position, position_name
from shared.archive.reading import NotArchived, archived, read_rewards
from shared.archive.storage import Storage
from shared.wire.training import Span
from tests.archive.records import DAY_MS, START, commit, encoded, reward


class Killed(BaseException):
    """The writer is gone."""


class Mortal(Storage):
    """A storage whose process is killed before its n-th change of a file."""

    def __init__(self, address: str, changes: int) -> None:
        super().__init__(address)
        self.left = changes

    def _count(self) -> None:
        if not self.left:
            raise Killed
        self.left -= 1

    def write(self, name: str, content: bytes) -> None:
        self._count()
        super().write(name, content)

    def remove(self, name: str) -> None:
        self._count()
        super().remove(name)


def mortal(folder: Path, changes: int) -> Archive:
    archive = Archive(folder)
    archive.storage = Mortal(str(folder), changes)
    return archive


def ids(archive: Archive, application: str = "shop") -> list[str]:
    spans = archived(archive, application)
    return read_rewards(archive, application, spans)[0]["decision_id"].to_list()


def test_names_say_all_and_are_read_back() -> None:
    part = Part("a/b=ü", date(2026, 11, 21), 3, 100, 2**63 - 1, 57, 2)
    assert parse_part(part.name) == part
    assert part.name.count("/") == 2
    assert parse_position(position_name(7, 12)) == (7, 12)
    for other in ("x.parquet", part.name + ".tmp", position_name(7, 12)):
        assert parse_part(other) is None
    assert parse_position(part.name) is None


def test_rewards_lie_by_application_and_day_and_come_back_exactly(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    records = [reward(n, "shop" if n % 3 else "news", day=n % 2) for n in range(60)]
    commit(archive, 2, 1000, *records)
    found, sources = read_rewards(archive, "shop", [Span(2, 1000, 1060)])
    wanted = decode(encoded(*records), np.arange(1000, 1060), 2).frame.filter(pl.col("application") == "shop")
    assert found.equals(wanted)
    assert sorted(tmp_path.glob("application=*/day=*")) == [
        tmp_path / f"application={name}" / f"day={day}"
        for name in ("news", "shop")
        for day in ("2024-10-04", "2024-10-05")
    ]
    assert [(source.partition, source.first_offset, source.last_offset) for source in sources] == [
        (2, 1002, 1058),
        (2, 1001, 1059),
    ]
    assert sum(source.rows for source in sources) == found.height == 40


def test_a_range_names_the_same_rows_for_ever(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    commit(archive, 0, 0, *[reward(n) for n in range(10)])
    before, sources = read_rewards(archive, "shop", [Span(0, 3, 8)])
    commit(archive, 0, 10, *[reward(n) for n in range(10, 20)])
    commit(archive, 1, 0, reward(99))
    again, same = read_rewards(archive, "shop", [Span(0, 3, 8)])
    assert before.equals(again)
    assert sources == same
    assert before["offset"].to_list() == [3, 4, 5, 6, 7]
    assert before.write_json() == again.write_json()


def test_a_range_that_is_not_archived_is_refused(tmp_path: Path) -> None:
    commit(archive := Archive(tmp_path), 0, 0, reward(0))
    with pytest.raises(NotArchived, match="partition 0 is archived up to 1, not to 2"):
        read_rewards(archive, "shop", [Span(0, 0, 2)])
    with pytest.raises(NotArchived, match="partition 5 is archived up to 0"):
        read_rewards(archive, "shop", [Span(5, 0, 1)])


def test_only_decisions_from_a_time_on(tmp_path: Path) -> None:
    commit(archive := Archive(tmp_path), 0, 0, *[reward(n, day=n) for n in range(4)])
    from_second = START + 2 * DAY_MS
    assert archived(archive, "shop", from_second) == (Span(0, 0, 4),)
    found, sources = read_rewards(archive, "shop", [Span(0, 0, 4)], from_second)
    assert found["decision_id"].to_list() == ["d-2", "d-3"]
    assert len(sources) == 2
    assert archived(archive, "shop", START + 9 * DAY_MS) == ()


@pytest.mark.parametrize("changes", range(12))
def test_a_writer_killed_at_any_change_leaves_every_reward_once(tmp_path: Path, changes: int) -> None:
    records = [reward(n, ("shop", "news")[n % 2], day=n // 10) for n in range(40)]
    position, killed, archive = 0, False, mortal(tmp_path, changes)
    while position < len(records):
        # Cut differently after the crash, as a writer that is started again does.
        size = 7 if killed else 10
        try:
            commit(archive, 0, position, *records[position : position + size])
            position = min(position + size, len(records))
        except Killed:
            killed, archive = True, Archive(tmp_path)
            (tmp_path / "application=shop").mkdir(exist_ok=True)
            (tmp_path / "application=shop" / ".scratch-1").write_bytes(b"half")
            archive.storage.clear_scratch(older_than_s=0)
            position = archive.recover(0) or 0
            assert all(part.next <= position for part in map(parse_part, archive.storage.names()) if part)
    assert killed
    found = sorted(int(name[2:]) for name in ids(archive) + ids(archive, "news"))
    assert found == list(range(40))
    assert not list(tmp_path.rglob(".scratch-*"))
    assert archive.positions() == {0: 40}


def test_a_reader_does_not_see_what_is_not_committed(tmp_path: Path) -> None:
    commit(Archive(tmp_path), 0, 0, reward(0))
    dying = mortal(tmp_path, 1)
    with pytest.raises(Killed):
        commit(dying, 0, 1, reward(1))
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    assert ids(Archive(tmp_path)) == ["d-0"]


def test_what_two_writers_archived_counts_once(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    records = [reward(n) for n in range(9)]
    commit(archive, 0, 0, *records[:6])
    with pytest.raises(Overtaken, match="beyond 2 by another"):
        commit(archive, 0, 2, *records[2:4])  # it had been paused, and did not know of the other
    assert ids(archive) == [f"d-{n}" for n in range(6)]
    commit(archive, 0, 6, *records[6:9])
    assert ids(archive) == [f"d-{n}" for n in range(9)]
    assert archive.recover(0) == 9
    assert ids(archive) == [f"d-{n}" for n in range(9)]


def test_records_that_cannot_be_filed_are_counted_and_stop_nothing() -> None:
    good = reward(1)
    raws = [
        *encoded(good),
        b"garbage",
        None,
        *encoded(reward(2, "../etc"), reward(3, decision_time=-1), reward(4, decision_time=2**60)),
    ]
    found = decode(raws, np.arange(6), 0)
    assert found.frame["decision_id"].to_list() == ["d-1"]
    assert found.refused == {"bad-marker": 1, "null-value": 1, "application": 1, "decision-time": 2}


def test_an_empty_batch_moves_the_position(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.commit(0, 0, 5, decode([], np.array([], np.int64), 0).frame)
    assert archive.recover(0) == 5
    assert archive.parts() == []


def test_old_days_expire(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    commit(archive, 0, 0, *[reward(n, day=n) for n in range(3)])
    gone = archive.expire(date(2024, 10, 6))
    assert [part.day for part in gone] == [date(2024, 10, 4), date(2024, 10, 5)]
    assert ids(archive) == ["d-2"]
    assert archive.recover(0) == 3


def test_any_address_of_fsspec_will_do() -> None:
    archive = Archive("memory://archive-test")
    commit(archive, 0, 0, reward(0), reward(1, day=1))
    again = Archive("memory://archive-test")
    assert again.recover(0) == 2
    assert ids(again) == ["d-0", "d-1"]
    assert again.storage.address == "memory:///archive-test"
    assert [part.day for part in again.expire(date(2024, 10, 5))] == [date(2024, 10, 4)]
    assert ids(again) == ["d-1"]
