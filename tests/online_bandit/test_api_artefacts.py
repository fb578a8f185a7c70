"""Only what is verified and fits is loaded, from wherever it lies."""

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from services.online_bandit.api.arms import Failure
from services.online_bandit.api.artefacts import ArtefactStore
from services.online_bandit.api.trained import TrainedPolicy
from shared.algorithms.artefacts import Artefact, write
from shared.algorithms.manifest import MANIFEST, Manifest
from shared.algorithms.serving import DiscretePolicy, load_policy
from shared.applications.contract import Application
from shared.applications.registry import load
from shared.wire.rollouts import Deployed
from tests.online_bandit.candidates import deployed, shop_candidate
from tests.online_bandit.shop import SHOP, write_applications

LIMIT = 1 << 20


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Application]:
    twin = SHOP.replace("application: shop", "application: twin")
    return load([write_applications(tmp_path_factory.mktemp("apps") / "apps", twin=twin)])


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    return shop_candidate(tmp_path_factory.mktemp("artefacts"))


@pytest.fixture
def store(applications: dict[str, Application], tmp_path: Path) -> ArtefactStore:
    return ArtefactStore(applications, tmp_path / "kept", LIMIT)


@pytest.fixture
def remote(candidate: Artefact) -> Iterator[Deployed]:
    """The candidate at an address that is no folder."""
    files, root = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}/{candidate.id}"
    files.put(str(candidate.folder), root, recursive=True)
    yield replace(deployed(candidate), artefact=f"memory:/{root}")
    files.rm(root, recursive=True)


def tampered(candidate: Artefact, folder: Path) -> Deployed:
    """The candidate with one number changed."""
    copied = folder / candidate.id
    shutil.copytree(candidate.folder, copied)
    policy = copied / "policy.json"
    policy.write_text(policy.read_text().replace('"floor": 0.05', '"floor": 0.50'))
    return replace(deployed(candidate), artefact=str(copied))


def reason(found: TrainedPolicy | Failure) -> str:
    assert isinstance(found, Failure), found
    return found.reason


def test_a_local_artefact_is_loaded_where_it_lies(
    store: ArtefactStore, candidate: Artefact, tmp_path: Path
) -> None:
    found = store.policy("shop", deployed(candidate))
    assert isinstance(found, TrainedPolicy)
    assert (found.name, found.algorithm) == (candidate.id, "linear")
    assert not (tmp_path / "kept").exists()
    expected = load_policy(candidate.folder)
    assert isinstance(expected, DiscretePolicy)
    assert isinstance(found.policy, DiscretePolicy)
    contexts = np.random.default_rng(0).standard_normal((50, 3))
    assert (found.policy.probabilities(contexts) == expected.probabilities(contexts)).all()


def test_a_remote_artefact_is_kept_and_needs_its_address_no_more(
    store: ArtefactStore, remote: Deployed, tmp_path: Path
) -> None:
    assert isinstance(store.policy("shop", remote), TrainedPolicy)
    gone = replace(remote, artefact="memory://nowhere/x")
    assert isinstance(store.policy("shop", gone), TrainedPolicy)
    kept = tmp_path / "kept" / remote.manifest_sha256
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [kept.name]
    store.prune({remote.manifest_sha256})
    assert kept.exists()
    store.prune(set())
    assert not kept.exists()
    assert reason(store.policy("shop", gone)) == "unreachable"


def test_a_kept_copy_is_for_its_application_alone(store: ArtefactStore, remote: Deployed) -> None:
    assert isinstance(store.policy("shop", remote), TrainedPolicy)
    assert reason(store.policy("twin", remote)) == "not-suited"


def test_a_kept_copy_is_verified_again_and_fetched_anew_if_the_disk_changed_it(
    store: ArtefactStore, remote: Deployed, tmp_path: Path
) -> None:
    store.policy("shop", remote)
    policy = tmp_path / "kept" / remote.manifest_sha256 / "policy.json"
    before = policy.read_bytes()
    policy.write_bytes(before.replace(b"1", b"2"))
    assert isinstance(store.policy("shop", remote), TrainedPolicy)
    assert policy.read_bytes() == before


def test_a_tampered_artefact_is_not_verified_wherever_it_lies(
    store: ArtefactStore, candidate: Artefact, tmp_path: Path
) -> None:
    broken = tampered(candidate, tmp_path)
    assert reason(store.policy("shop", broken)) == "not-verified"
    files, root = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}"
    files.put(broken.artefact, root, recursive=True)
    assert reason(store.policy("shop", replace(broken, artefact=f"memory:/{root}"))) == "not-verified"
    assert list((tmp_path / "kept").iterdir()) == []


def test_an_artefact_must_have_the_digest_that_the_deployment_states(
    store: ArtefactStore, candidate: Artefact
) -> None:
    right = deployed(candidate)
    for changes in (
        {"manifest_sha256": ""},
        {"manifest_sha256": "0" * 64},
        {"policy": "0" * 64},
        {"policy": "0" * 64, "manifest_sha256": "0" * 64},
    ):
        assert reason(store.policy("shop", replace(right, **changes))) == "not-verified"
    named = store.policy("shop", replace(right, policy="theirs-1"))
    assert isinstance(named, TrainedPolicy)
    assert named.name == "theirs-1"


def test_an_artefact_for_another_application_or_of_what_is_not_served_is_not_fetched(
    store: ArtefactStore, candidate: Artefact, applications: dict[str, Application], tmp_path: Path
) -> None:
    assert reason(store.policy("ranking", deployed(candidate))) == "not-suited"
    manifest = candidate.manifest.model_dump()

    def build(folder: Path) -> Manifest:
        return Manifest(**manifest | {"algorithm": "ppo", "files": {}})

    language = write(tmp_path / "models", build)
    assert reason(store.policy("shop", deployed(language))) == "not-suited"
    manifest_alone = tmp_path / candidate.id
    manifest_alone.mkdir()
    shutil.copy(candidate.folder / MANIFEST, manifest_alone)
    incomplete = replace(deployed(candidate), artefact=str(manifest_alone))
    assert reason(store.policy("twin", incomplete)) == "not-suited"
    assert reason(store.policy("shop", incomplete)) == "not-verified"
    small = ArtefactStore(applications, tmp_path / "kept", 10)
    files, root = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}"
    files.put(str(candidate.folder), root, recursive=True)
    large = small.policy("shop", replace(deployed(candidate), artefact=f"memory:/{root}"))
    assert isinstance(large, Failure)
    assert "10 are allowed" in large.message


def test_other_actions_or_another_width_do_not_fit(store: ArtefactStore, tmp_path: Path) -> None:
    fewer = shop_candidate(tmp_path, actions=["banner", "mail"])
    found = store.policy("shop", deployed(fewer))
    assert reason(found) == "not-suited"


def test_what_a_killed_fetch_left_is_removed(store: ArtefactStore, remote: Deployed, tmp_path: Path) -> None:
    store.policy("shop", remote)
    left = tmp_path / "kept" / ".fetching-1"
    left.mkdir()
    store.prune({remote.manifest_sha256})
    assert left.exists()  # it may be another fetch under way
    store.clear_unfinished()
    assert not left.exists()
