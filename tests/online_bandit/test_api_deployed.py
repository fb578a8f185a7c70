"""The record that holds, and the kill switch on disk."""

from pathlib import Path

import pytest

from services.online_bandit.api.deployed import DeploymentLog
from services.online_bandit.api.killing import Kill, KillFile
from shared.wire.rollouts import Deployed, Deployment
from tests.online_bandit.candidates import NOW, deployment

CANARY = Deployed("two", "linear", "/artefacts/two", "0" * 64)


@pytest.fixture
def log() -> DeploymentLog:
    return DeploymentLog({"shop", "ranking"})


def record(each: Deployment) -> tuple[bytes, bytes]:
    return each.application.encode(), each.encode()


def test_the_last_record_holds_and_a_smaller_sequence_is_passed_over(log: DeploymentLog) -> None:
    older, newer = deployment(3), deployment(4, canary=CANARY, share=0.1, salt="r")
    assert log.absorb([record(older)]) == {"shop"}
    assert log.absorb([record(newer), record(older)]) == {"shop"}
    assert log.known == {"shop": newer}
    assert log.absorb([record(older), record(newer)]) == set()
    other = deployment(1, application="ranking")
    assert log.absorb([record(other)]) == {"ranking"}
    assert log.known == {"shop": newer, "ranking": other}


def test_records_that_say_nothing_are_counted_and_block_nothing(log: DeploymentLog) -> None:
    good = deployment(5)
    key, value = record(good)
    news = log.absorb(
        [
            (key, b"garbage"),
            (key, value[:-3]),
            (b"ranking", value),
            (b"unknown", value),
            (None, value),
            (key, value),
        ]
    )
    assert news == {"shop"}
    assert log.known == {"shop": good}
    assert sum(log.dead.values()) == 3
    assert log.filtered == 2


def test_a_tombstone_takes_a_deployment_away(log: DeploymentLog) -> None:
    log.absorb([record(deployment(5))])
    assert log.absorb([(b"shop", None), (b"ranking", None)]) == {"shop"}
    assert log.known == {}


def test_what_holds_is_kept_on_disk(log: DeploymentLog, tmp_path: Path) -> None:
    path = tmp_path / "deployments.cache"
    assert log.load(path) == set()
    log.absorb([record(deployment(5, canary=CANARY, share=0.5, salt="r", blocked=("one",)))])
    log.save(path)
    again = DeploymentLog({"shop"})
    assert again.load(path) == {"shop"}
    assert again.known == log.known


def test_kill_switches_are_kept_on_disk(tmp_path: Path) -> None:
    file = KillFile(tmp_path / "state" / "killed.json")
    assert file.read(["shop"]) == {}
    killed = {"shop": Kill("e-1", "too many complaints", "ann", NOW)}
    file.write(killed)
    assert file.read(["shop", "ranking"]) == killed
    file.write({})
    assert file.read(["shop"]) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"shop": 1}', b'{"shop": {"by": "ann"}}'])
def test_with_a_file_that_cannot_be_read_every_switch_is_on(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "killed.json"
    path.write_bytes(content)
    found = KillFile(path).read(["shop", "ranking"])
    assert found.keys() == {"shop", "ranking"}
    assert "cannot be read" in found["shop"].reason
