"""An erased subject is gone from every file, stays gone, and what was trained on it is told."""

from pathlib import Path
from typing import Any

import pytest

from shared.archive import tombstones
from shared.archive.archive import Archive
from shared.archive.erasing import erase
from shared.archive.reading import archived, read_rewards
from shared.wire.training import Candidate, Span
from tests.archive.records import DAY_MS, START, commit, reward
from tests.archive.test_archive import Killed, mortal

NOW = START + 10 * DAY_MS


def subjects(archive: Archive, application: str = "shop") -> list[str]:
    found, _ = read_rewards(archive, application, archived(archive, application))
    return found["subject_id"].to_list()


def fill(archive: Archive) -> None:
    commit(archive, 0, 0, reward(0, subject="ann"), reward(1, subject="bob"), reward(2, "news", "ann"))
    commit(archive, 1, 0, reward(3, subject="bob"), reward(4, subject="bob"))
    commit(archive, 1, 2, reward(5, subject="ann"))


def candidate(name: str, **fields: Any) -> Candidate:
    given = {"lineage": (Span(0, 0, 3),), "started_at": NOW - 1, "application": "shop", **fields}
    return Candidate(request_id=name, status="trained", requested_at=0, at=NOW, **given)


def test_files_are_written_anew_without_the_subject_and_the_others_stay(tmp_path: Path) -> None:
    fill(archive := Archive(tmp_path))
    before = set(archive.storage.names())
    done = erase(archive, "ann", None, NOW)
    assert subjects(archive) == ["bob", "bob", "bob"]
    assert subjects(archive, "news") == []
    assert done.files == 3
    assert len(before - set(archive.storage.names())) == 3
    assert b"ann" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.parquet"))
    assert archive.positions() == {0: 3, 1: 3}


def test_one_application_alone(tmp_path: Path) -> None:
    fill(archive := Archive(tmp_path))
    erase(archive, "ann", "news", NOW)
    assert subjects(archive) == ["ann", "bob", "bob", "bob", "ann"]
    assert subjects(archive, "news") == []


def test_a_subject_stays_erased_when_rewards_are_archived_again_but_may_come_back(tmp_path: Path) -> None:
    fill(archive := Archive(tmp_path))
    erase(archive, "ann", None, NOW)
    commit(archive, 0, 3, reward(6, subject="ann"), reward(7, subject="ann", decision_time=NOW))
    found, _ = read_rewards(archive, "shop", [Span(0, 3, 5)])
    assert found["decision_id"].to_list() == ["d-7"]


def test_an_erasure_that_crosses_a_commit_reaches_its_files(tmp_path: Path, monkeypatch: Any) -> None:
    archive, other = Archive(tmp_path), Archive(tmp_path)
    write = archive.storage.write

    def interrupted(name: str, content: bytes) -> None:
        if name.endswith(".parquet") and not tombstones.read(other.storage):
            erase(other, "ann", None, NOW)
        write(name, content)

    monkeypatch.setattr(archive.storage, "write", interrupted)
    fill(archive)
    assert subjects(archive) == ["bob", "bob", "bob"]


def test_candidates_trained_on_erased_rewards_are_listed(tmp_path: Path) -> None:
    fill(archive := Archive(tmp_path))
    done = erase(archive, "ann", None, NOW)
    trained = candidate("on them")
    others = [
        candidate("on other offsets", lineage=(Span(0, 1, 3), Span(1, 0, 2))),
        candidate("on later decisions", decided_from=START + DAY_MS),
        candidate("for another application", application="music"),
        candidate("after the erasure", started_at=NOW + 1),
    ]
    assert done.affected([trained, *others]) == [trained]
    assert done.affected([candidate("news", application="news")]) != []


@pytest.mark.parametrize("changes", range(5))
def test_an_erasure_cut_off_anywhere_is_completed_by_asking_again(tmp_path: Path, changes: int) -> None:
    fill(Archive(tmp_path))
    with pytest.raises(Killed):
        erase(mortal(tmp_path, changes), "ann", None, NOW)
    archive = Archive(tmp_path)
    done = erase(archive, "ann", None, NOW + 5)
    for partition in (0, 1):
        archive.recover(partition)
    assert subjects(archive) == ["bob", "bob", "bob"]
    assert [row.offset for row in done.tombstone.rewards if row.application == "shop"] == [0, 2]
    assert done.affected([candidate("on them")]) != []
    assert b"ann" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.parquet"))
