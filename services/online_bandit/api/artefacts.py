"""Artefacts to policies: fetched from wherever they are, and verified before anything is read from them."""

import re
import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from services.online_bandit.api.arms import Failure
from services.online_bandit.api.trained import TrainedPolicy, Unsuitable, suited
from shared.algorithms.artefacts import LARGEST_MANIFEST, ArtefactError, load
from shared.algorithms.manifest import MANIFEST, Manifest
from shared.algorithms.serving import is_served, policy_of
from shared.applications.contract import Application
from shared.telemetry.logging import logger
from shared.wire.rollouts import Deployed

_HASH = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ".fetching-"


class ArtefactStore:
    """Copies of remote artefacts lie in `folder` under their id; local ones are read where they are.

    Methods block, and belong to worker threads.
    """

    def __init__(self, applications: Mapping[str, Application], folder: Path, limit: int) -> None:
        """Keep no artefact of more than `limit` bytes."""
        self._applications, self._folder, self._limit = applications, folder, limit

    def policy(self, application: str, deployed: Deployed) -> TrainedPolicy | Failure:
        """The policy, or why there is none. Only "unreachable" is worth another attempt."""
        try:
            return self._policy(self._applications[application], deployed)
        except ArtefactError as error:
            return Failure("not-verified", str(error))
        except Unsuitable as error:
            return Failure("not-suited", str(error))
        except Exception as error:  # storages of all kinds raise classes of their own
            logger(__name__).warning("artefact not loaded", artefact=deployed.artefact, exc_info=True)
            return Failure("unreachable", f"{deployed.artefact}: {type(error).__name__}: {error}")

    def prune(self, keep: Collection[str]) -> None:
        """Remove copies that are not to be kept, by id. Raises OSError."""
        for path in self._folder.glob("*"):
            if path.name not in keep and not path.name.startswith(_UNFINISHED):
                shutil.rmtree(path)

    def clear_unfinished(self) -> None:
        """Remove what a process left that ended while it fetched; before the first fetch. Raises OSError."""
        for path in self._folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(path)

    def _policy(self, application: Application, deployed: Deployed) -> TrainedPolicy:
        expected = _expected(deployed)
        files, root = fsspec.core.url_to_fs(deployed.artefact)
        local = isinstance(files, LocalFileSystem)
        kept = self._folder / expected
        if not local and kept.exists():
            try:
                return _loaded(kept, expected, deployed.policy, application)
            except ArtefactError as error:  # the disk's fault, not the artefact's
                logger(__name__).warning("kept artefact is broken and fetched anew", why=str(error))
                shutil.rmtree(kept)
        manifest = _manifest(files, f"{root}/{MANIFEST}", expected)
        _check(manifest, application)
        if not local:
            self._fetch(files, str(root), manifest, kept)
        return _loaded(Path(root) if local else kept, expected, deployed.policy, application)

    def _fetch(self, files: Any, root: str, manifest: Manifest, target: Path) -> None:
        size = sum(file.bytes for file in manifest.files.values())
        if size > self._limit:
            raise Unsuitable(f"it has {size:,} bytes, {self._limit:,} are allowed")
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._folder))
        try:
            for name in manifest.files:
                path = unfinished / name
                path.parent.mkdir(parents=True, exist_ok=True)
                files.get_file(f"{root}/{name}", str(path))
            (unfinished / MANIFEST).write_bytes(manifest.to_bytes())
            load(unfinished, manifest.id)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _expected(deployed: Deployed) -> str:
    """The id that the artefact must have."""
    stated, name = deployed.manifest_sha256, deployed.policy
    if not _HASH.fullmatch(stated):
        raise ArtefactError(f"manifest_sha256 is {stated!r:.100}, so nothing can be verified")
    if _HASH.fullmatch(name) and name != stated:
        raise ArtefactError(f"the policy is {name}, and its manifest {stated}")
    return stated


def _manifest(files: Any, path: str, expected: str) -> Manifest:
    if (size := files.info(path)["size"]) > LARGEST_MANIFEST:
        raise ArtefactError(f"{path}: has {size:,} bytes, {LARGEST_MANIFEST:,} are allowed")
    try:
        manifest = Manifest.from_bytes(files.cat_file(path))
    except ValueError as error:
        raise ArtefactError(f"{path}: is no manifest: {error}") from error
    if manifest.id != expected:
        raise ArtefactError(f"{path}: is not the manifest of {expected}")
    return manifest


def _check(manifest: Manifest, application: Application) -> None:
    """What is wrong is told before anything large is fetched."""
    if manifest.application != application.name:
        raise Unsuitable(f"it was trained for {manifest.application}")
    if not is_served(manifest.algorithm):
        raise Unsuitable(f"policies of {manifest.algorithm} are not served from files")


def _loaded(folder: Path, expected: str, name: str, application: Application) -> TrainedPolicy:
    artefact = load(folder, expected)
    _check(artefact.manifest, application)
    return suited(name, artefact.manifest.algorithm, policy_of(artefact), application)
