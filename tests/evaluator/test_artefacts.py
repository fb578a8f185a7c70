"""Artefacts wherever they are kept: fetched, verified, and gone again."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from services.evaluator.artefacts import artefact as opened
from services.evaluator.artefacts import parts
from services.evaluator.asking import Unusable, ask, policy_of
from shared.algorithms.artefacts import Artefact, ArtefactError
from shared.algorithms.reaching import Attempts, Unreachable
from shared.algorithms.serving import DiscretePolicy
from shared.wire.training import Candidate
from tests.deployer.artefact_server import Storage
from tests.evaluator.world import applications, artefact, candidate, policy


@pytest.fixture
def made(tmp_path: Path) -> Artefact:
    return artefact(tmp_path / "made", policy(1.0))


def put(made: Artefact) -> str:
    """Copy it into memory's file system; its address."""
    files, root = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}/{made.id}"
    files.put(str(made.folder), root, recursive=True)
    return f"memory:/{root}"


@pytest.fixture
def remote(made: Artefact) -> Candidate:
    return candidate(made, artefact=put(made))


@pytest.fixture
def storage(made: Artefact) -> Iterator[Storage]:
    with Storage(made.folder.parent).serving() as serving:
        yield serving


def test_a_policy_is_the_same_from_a_folder_a_file_address_and_elsewhere(
    made: Artefact, remote: Candidate, tmp_path: Path
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    contexts = np.random.default_rng(0).standard_normal((20, 2))
    local, named = candidate(made), candidate(made, artefact=made.folder.as_uri())
    answers = []
    for each in (local, named, remote):
        found = policy_of(each, shop)
        assert isinstance(found, DiscretePolicy)
        answers.append(ask(found, contexts))
    assert (answers[0] == answers[1]).all()
    assert (answers[0] == answers[2]).all()


def test_what_was_fetched_is_gone_with_its_use(remote: Candidate) -> None:
    with opened(remote.artefact, remote.candidate_id) as found:
        folder = found.folder
        assert (folder / "policy.json").is_file()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["policy.json", "manifest.json"])
def test_what_was_changed_elsewhere_is_refused(remote: Candidate, name: str, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    files, root = fsspec.core.url_to_fs(remote.artefact)
    files.pipe_file(f"{root}/{name}", files.cat_file(f"{root}/{name}").replace(b"1", b"2"))
    with pytest.raises(Unusable, match=name) as told:
        policy_of(remote, shop)
    assert told.value.name == "artefact"


def test_an_address_where_nothing_is_or_that_nobody_knows_is_refused(
    remote: Candidate, tmp_path: Path
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    for address in ("memory://nowhere/x", "nothing-of-the-kind://x"):
        with pytest.raises(Unusable) as told:
            policy_of(replace(remote, artefact=address), shop)
        assert told.value.name == "artefact"


def test_parts_are_fetched_and_verified_alone(remote: Candidate) -> None:
    files, root = fsspec.core.url_to_fs(remote.artefact)
    with parts(remote.artefact, remote.candidate_id, ["policy.json", "absent.json"]) as found:
        assert sorted(each.name for each in found.folder.iterdir()) == ["manifest.json", "policy.json"]
    with parts(remote.artefact, remote.candidate_id, []) as found:
        assert [each.name for each in found.folder.iterdir()] == ["manifest.json"]
    files.pipe_file(f"{root}/policy.json", b"{}")
    with (
        pytest.raises(ArtefactError, match="is not the file of the manifest"),
        parts(remote.artefact, remote.candidate_id, ["policy.json"]),
    ):
        pass


def test_no_more_is_fetched_than_is_allowed(remote: Candidate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.evaluator.artefacts.MOST_BYTES", 10)
    with (
        pytest.raises(ArtefactError, match="bytes, 10 are allowed"),
        opened(remote.artefact, remote.candidate_id),
    ):
        pass


@pytest.mark.parametrize("fails", [503, 403, 429, 0], ids=str)
def test_a_storage_that_fails_is_no_fault_of_the_artefact(
    made: Artefact, storage: Storage, tmp_path: Path, fails: int
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    there = candidate(made, artefact=storage.address(made.id))
    storage.fails = fails
    with pytest.raises(Unreachable, match="the storage could not be reached: http"):
        policy_of(there, shop)
    with (
        pytest.raises(Unreachable, match="could not be reached"),
        parts(there.artefact, there.candidate_id, ["policy.json"]),
    ):
        pass
    assert storage.failed
    storage.fails = None
    assert isinstance(policy_of(there, shop), DiscretePolicy)


def test_nobody_listening_and_a_file_lost_halfway_are_told_apart_from_a_missing_one(
    made: Artefact, storage: Storage, tmp_path: Path
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    there = candidate(made, artefact=storage.address(made.id))
    (made.folder / "policy.json").rename(tmp_path / "elsewhere")
    with pytest.raises(Unusable, match=r"missing: .*policy\.json") as told:
        policy_of(there, shop)
    assert told.value.name == "artefact"
    with pytest.raises(Unusable, match=r"missing: .*manifest\.json"):
        policy_of(replace(there, artefact=storage.address("nowhere")), shop)
    with Storage(tmp_path).serving() as gone:
        address = gone.address(made.id)
    with pytest.raises(Unreachable, match="could not be reached"):
        policy_of(replace(there, artefact=address), shop)


def test_pauses_grow_and_end_with_the_time() -> None:
    now, waited = 0.0, []
    attempts = Attempts(100.0, lambda: now)
    while (pause := attempts.pause()) is not None:
        waited.append(pause)
        now += pause
    assert waited == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 36.5]
    assert attempts.told("x") == "x (9 attempts in 100 s)"
