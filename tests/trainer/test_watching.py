"""Reasons to train: found once each, whoever looks and however often, and never for what was there before."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from services.trainer.samples import Buffer
from services.trainer.watching import Cause, Standing, Watcher
from shared.applications.files import SettingsError, read
from shared.applications.generic.application import GenericApplication
from shared.archive.archive import Archive
from tests.archive.records import START, commit, reward

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


def told(folder: Path, partition: int, first: int, number: int, decision: int = 0) -> None:
    """Rewards that interactions gave so many decisions from `decision` on."""
    records = [
        reward(decision + n, is_default=False, revision=0, decision_time=START + decision + n)
        for n in range(number)
    ]
    commit(Archive(folder / "archive"), partition, first, *records)


def again(folder: Path, partition: int, first: int, number: int) -> None:
    """The same decisions with another reward."""
    records = [
        reward(n, is_default=False, revision=1, decision_time=START + n, previous_reward=1.0)
        for n in range(number)
    ]
    commit(Archive(folder / "archive"), partition, first, *records)


def test_only_feedback_counts(tmp_path: Path) -> None:
    looking = watcher(tmp_path, "{every: 10, counted: feedback}")
    silent = [reward(n, is_default=True, revision=0, reward_time=n) for n in range(40)]
    commit(Archive(tmp_path / "archive"), 1, 0, *silent)
    told(tmp_path, 2, 0, 9, 100)
    assert looking.look(NOW) == []
    assert looking.standing(NOW).new == 9
    assert watcher(tmp_path, "{every: 10}").standing(NOW).new == 49


def test_a_pause_is_kept_unless_twice_as_many_are_new(tmp_path: Path) -> None:
    settings = "{every: 10, counted: feedback, pause: 24h}"
    looking = watcher(tmp_path, settings)
    told(tmp_path, 0, 0, 9)
    again(tmp_path, 0, 9, 9)  # corrections are no samples of their own
    assert looking.look(NOW) == []
    told(tmp_path, 0, 18, 1, 9)
    [first] = looking.look(NOW)
    assert first.trigger.detail == "10 new rewards with feedback"
    looking.keep(first)
    told(tmp_path, 0, 19, 19, 10)
    assert looking.look(NOW + 23 * HOUR) == watcher(tmp_path, settings).look(NOW + 23 * HOUR) == []
    [later] = looking.look(NOW + 24 * HOUR)
    told(tmp_path, 1, 0, 1, 29)
    [hurried] = watcher(tmp_path, settings).look(NOW + HOUR)
    assert (later.trigger.detail[:2], hurried.trigger.detail[:2]) == ("19", "20")


def test_how_far_it_is_says_buffer_and_what_is_new_and_asks_for_nothing(tmp_path: Path) -> None:
    looking = watcher(tmp_path, "{every: 10, counted: feedback, buffer: 25}")
    assert looking.standing(NOW) == Standing(Buffer(0, 0), 0, False)
    told(tmp_path, 0, 0, 20)
    told(tmp_path, 1, 0, 20, 20)
    assert looking.standing(NOW) == Standing(Buffer(25, START + 15), 40, True)
    [cause] = looking.look(NOW)
    assert looking.standing(NOW).should_retrain
    looking.keep(cause)
    assert looking.standing(NOW) == Standing(Buffer(25, START + 15), 0, False)
    assert watcher(tmp_path, "{window: 1d}").standing(NOW) == Standing(None, 0, False)


@pytest.mark.parametrize(
    ("training", "words"),
    [("{pause: 1d}", "pause: means nothing"), ("{every: 10, buffer: 9}", "buffer: 9 is below every")],
)
def test_rules_that_contradict_themselves_are_refused(tmp_path: Path, training: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        watcher(tmp_path, training)
