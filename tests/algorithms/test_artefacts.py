"""An artefact is what its manifest says, or it does not load."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shared.algorithms.artefacts import Artefact, ArtefactError, digests, load, previous_artefact, write
from shared.algorithms.contract import NotTrainable
from shared.algorithms.manifest import MANIFEST, Manifest
from shared.algorithms.serving import load_policy
from tests.algorithms.training import tiny


@pytest.fixture
def copied(candidate: Callable[[str], Artefact], tmp_path: Path) -> Path:
    made = candidate("linear")
    return Path(shutil.copytree(made.folder, tmp_path / made.id))


def test_an_untouched_copy_loads(copied: Path) -> None:
    assert load(copied, copied.name).id == copied.name


def test_a_tampered_file_is_named(copied: Path) -> None:
    file = copied / "policy.json"
    file.write_text(file.read_text().replace("yes", "YES"))
    with pytest.raises(ArtefactError, match=r"policy\.json: is not the file of the manifest"):
        load_policy(copied)


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "policy.json").unlink()
    with pytest.raises(ArtefactError, match=r"policy\.json: missing"):
        load(copied)


def test_a_file_too_many_is_named(copied: Path) -> None:
    (copied / "more.json").write_text("{}")
    with pytest.raises(ArtefactError, match=r"more\.json: is not in the manifest"):
        load(copied)


def test_a_link_is_no_file(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_bytes((copied / "policy.json").read_bytes())
    (copied / "policy.json").unlink()
    (copied / "policy.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ArtefactError, match="neither a file nor a folder"):
        load(copied)


def test_a_manifest_that_fits_its_files_but_not_the_id_is_refused(copied: Path) -> None:
    manifest = json.loads((copied / MANIFEST).read_text())
    manifest["metrics"]["value"] = 9.0
    (copied / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match=f"is not the manifest of {copied.name}"):
        load(copied)
    renamed = copied.rename(copied.with_name("plain"))
    with pytest.raises(ArtefactError, match="is not the manifest of"):
        load(renamed, copied.name)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"format": 2}', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(copied: Path, raw: bytes) -> None:
    (copied / MANIFEST).write_bytes(raw)
    with pytest.raises(ArtefactError, match="is no manifest"):
        load(copied)


def test_no_manifest_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"manifest\.json: No such file"):
        load(tmp_path)


@pytest.mark.parametrize(
    "name", ["../policy.json", "/policy.json", "a/../b.json", "policy.pkl", MANIFEST, ""]
)
def test_a_manifest_names_plain_paths_of_allowed_kinds_only(copied: Path, name: str) -> None:
    manifest = json.loads((copied / MANIFEST).read_text())
    manifest["files"][name] = manifest["files"].pop("policy.json")
    with pytest.raises(ValueError, match="files"):
        Manifest.from_bytes(json.dumps(manifest).encode())


def test_a_pickle_is_never_kept(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match=r"model\.pt is not of an allowed kind"):
        digests(tmp_path)


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def build(folder: Path) -> Manifest:
        (folder / "half.json").write_text("{}")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write(tmp_path, build)
    assert not list(tmp_path.iterdir())


def test_training_goes_on_from_a_policy_of_its_own_only(
    candidate: Callable[[str], Artefact], tmp_path: Path
) -> None:

    _, data, _ = tiny("linear")
    known = replace(data, previous=candidate("linear").folder)
    found = previous_artefact(known, "linear")
    assert found is not None
    assert found.id == candidate("linear").id
    with pytest.raises(NotTrainable, match="is a linear of shop"):
        previous_artefact(known, "q_learning")
