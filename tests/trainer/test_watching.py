"""Reasons to train: found once each, whoever looks and however often, and never for what was there before."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from services.trainer.watching import Cause, Watcher
from shared.applications.files import read
from shared.applications.generic.application import GenericApplication
from shared.archive.archive import Archive
from tests.archive.records import commit, reward

NOW = round(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1000)
HOUR = 3_600_000


def watcher(folder: Path, training: str) -> Watcher:
    """Of the application shop with these settings, as a process that has just started has it."""
    file = folder / "shop.yaml"
    file.write_text(f"application: shop\nactions: [a, b]\ntraining: {training}\n")
    return Watcher(GenericApplication(read(file)), Archive(folder / "archive"))


def ids(causes: list[Cause]) -> list[str]:
    return [cause.trigger.request_id for cause in causes]


def give(folder: Path, partition: int, first: int, rewards: list[float], application: str = "shop") -> None:
    records = [
        reward(first + n, application, reward=value, reward_time=first + n, revision=0)
        for n, value in enumerate(rewards)
    ]
    commit(Archive(folder / "archive"), partition, first, *records)


def test_without_settings_it_is_idle(tmp_path: Path) -> None:
    assert watcher(tmp_path, "{window: 30d}").idle
    assert not watcher(tmp_path, "{every: 1}").idle


def test_after_so_many_new_rewards(tmp_path: Path) -> None:
    looking = watcher(tmp_path, "{every: 10}")
    give(tmp_path, 0, 0, [1.0] * 6)
    give(tmp_path, 1, 0, [1.0] * 9, "news")
    assert looking.look(NOW) == []
    give(tmp_path, 1, 9, [1.0] * 5)
    (cause,) = looking.look(NOW)
    assert (cause.trigger.reason, cause.trigger.detail) == ("count", "11 new rewards")
    # A process that was killed before it noted this asks again, by the same name.
    assert ids(watcher(tmp_path, "{every: 10}").look(NOW)) == [cause.trigger.request_id]
    looking.keep(cause)
    assert looking.look(NOW) == watcher(tmp_path, "{every: 10}").look(NOW) == []
    give(tmp_path, 1, 14, [1.0] * 10)
    (again,) = looking.look(NOW)
    assert again.trigger.detail == "10 new rewards"
    assert again.trigger.request_id != cause.trigger.request_id


def test_at_set_times_once_however_long_it_was_away(tmp_path: Path) -> None:
    looking = watcher(tmp_path, "{schedule: '0 1 * * *'}")
    assert looking.look(NOW) == []
    assert looking.look(NOW + 12 * HOUR) == []
    (cause,) = looking.look(NOW + 13 * HOUR)
    assert cause.trigger.detail == "2026-11-21T01:00:00+00:00"
    assert ids(watcher(tmp_path, "{schedule: '0 1 * * *'}").look(NOW + 14 * HOUR)) == ids([cause])
    looking.keep(cause)
    assert looking.look(NOW + 14 * HOUR) == []
    (late,) = looking.look(NOW + 100 * HOUR)
    assert late.trigger.detail == "2026-11-24T01:00:00+00:00"


@pytest.mark.parametrize("kind", ["adwin", "page_hinkley"])
def test_when_rewards_drift(tmp_path: Path, kind: str) -> None:
    settings = f"{{drift: {{kind: {kind}, block: 10, threshold: 10}}}}"
    random = np.random.default_rng(1)
    looking = watcher(tmp_path, settings)
    steady = (random.random(3_000) < 0.3).astype(float).tolist()
    for first in range(0, 3_000, 995):  # blocks do not end where files do
        give(tmp_path, 0, first, steady[first : first + 995])
        assert looking.look(NOW) == []
    give(tmp_path, 0, 3_000, (random.random(1_500) < 0.8).astype(float).tolist())
    (cause,) = looking.look(NOW)
    assert cause.trigger.reason == "drift"
    assert "mean reward" in cause.trigger.detail
    assert ids(looking.look(NOW)) == ids(watcher(tmp_path, settings).look(NOW)) == ids([cause])
    looking.keep(cause)
    assert looking.look(NOW) == watcher(tmp_path, settings).look(NOW) == []


def test_one_kind_of_note_does_not_touch_another(tmp_path: Path) -> None:
    looking = watcher(tmp_path, "{every: 5, schedule: '0 1 * * *'}")
    looking.look(NOW)
    give(tmp_path, 0, 0, [1.0] * 5)
    count, schedule = looking.look(NOW + 13 * HOUR)
    looking.keep(schedule)
    looking.keep(count)
    assert looking.look(NOW + 13 * HOUR) == []
