"""Artefacts wherever they are kept: fetched, verified, and gone again."""

import uuid
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from services.evaluator.artefacts import artefact as opened
from services.evaluator.artefacts import parts
from services.evaluator.asking import Unusable, ask, policy_of
from shared.algorithms.artefacts import Artefact, ArtefactError
from shared.algorithms.serving import DiscretePolicy
from shared.wire.training import Candidate
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
