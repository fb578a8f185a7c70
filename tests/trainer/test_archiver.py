"""The archiver holds no more rewards than it may, and files hold what was read."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

from services.trainer import archiver
from services.trainer.archiver import Heap, decoded
from shared.archive.archive import Archive
from shared.archive.columns import decode
from shared.broker.records import Records
from shared.broker.settings import BrokerSettings
from shared.wire.slices import Slices
from tests.archive.records import encoded, reward
from tests.trainer.processes import applications, give_rewards, training
from tests.waiting import until

REWARDS = 400
HELD = 40_000
"""Bytes: less than half of the rewards, and more than a partition has of them."""


async def test_what_all_partitions_hold_together_is_bounded(topics: BrokerSettings, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    await give_rewards(topics, shop, REWARDS)
    archive = Archive(tmp_path / "state" / "archive")
    limits = {"STREAMWHEEL_FLUSH_BYTES": str(HELD), "STREAMWHEEL_FLUSH_AFTER": "1h"}
    async with training(topics, tmp_path, **limits):

        async def bounded() -> bool:
            return sum(archive.positions().values()) > REWARDS / 2

        await until(bounded)
    sizes = [part.rows for part in archive.parts()]
    assert max(sizes) <= REWARDS / 4


def test_rewards_are_decoded_in_portions_as_they_would_be_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [b"garbage", *encoded(*[reward(n) for n in range(20)]), None]
    offsets = np.arange(5, 5 + len(values))
    monkeypatch.setattr(archiver, "DECODED", 6)
    heap = Heap(5, 5)
    for rows in np.split(np.arange(len(values)), [2, 3, 12, 13]):
        heap.add(fetched([values[row] for row in rows], offsets[rows]))
    assert (heap.count, heap.next) == (len(values), int(offsets[-1]) + 1)
    frame, refused = decoded(3, heap)
    at_once = decode(values, offsets, 3)
    assert refused == at_once.refused
    assert refused.total() == 2
    assert_frame_equal(frame, at_once.frame)
    assert not heap.parts  # what is decoded is no longer held


def fetched(values: list[bytes | None], offsets: NDArray[np.int64]) -> Records:
    none = Slices.of([None] * len(values))
    return Records(none, Slices.of(values), none, offsets, offsets)
