"""Artefacts at any fsspec address, verified before use: what lies elsewhere is copied first, and kept."""

import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from shared.algorithms.artefacts import LARGEST_MANIFEST, Artefact, ArtefactError, Seen, load, unseen
from shared.algorithms.manifest import MANIFEST, Manifest

_HASH = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ".fetching-"
log = logging.getLogger(__name__)


class TooLarge(ArtefactError):
    """An artefact of more bytes than are kept here."""


def expected_id(policy: str, manifest_sha256: str) -> str:
    """The id that the artefact of a policy must have. Raises ArtefactError if that is not told, or twice."""
    if not _HASH.fullmatch(manifest_sha256):
        raise ArtefactError(f"manifest_sha256 is {manifest_sha256!r:.100}, so nothing can be verified")
    if _HASH.fullmatch(policy) and policy != manifest_sha256:
        raise ArtefactError(f"the policy is {policy}, and its manifest {manifest_sha256}")
    return manifest_sha256


def opened(address: str) -> tuple[Any, str]:
    """The storage of an address, and where in it.

    Raises ArtefactError for an address of an unknown kind, ImportError where the kind's library is missing,
    and what the storage raises.
    """
    try:
        files, root = fsspec.core.url_to_fs(address)
    except ValueError as error:
        raise ArtefactError(f"{address}: {error}") from error
    return files, str(root)


def read_manifest(files: Any, root: str, expected: str) -> Manifest:
    """The verified manifest of the artefact in a folder of a storage. Raises ArtefactError, FileNotFoundError
    only if there is none, and what the storage raises."""
    path = f"{root}/{MANIFEST}"
    try:
        size = files.info(path)["size"]
    except FileNotFoundError:
        # Over HTTP that is what `info` makes of any failure; reading tells which it was.
        files.cat_file(path, 0, 1)
        raise OSError(f"{path}: was not there, and was a moment later") from None
    if size is not None and size > LARGEST_MANIFEST:
        raise ArtefactError(f"{path}: has {size:,} bytes, {LARGEST_MANIFEST:,} are allowed")
    try:
        manifest = Manifest.from_bytes(files.cat_file(path, 0, LARGEST_MANIFEST if size is None else None))
    except ValueError as error:
        raise ArtefactError(f"{path}: is no manifest: {error}") from error
    if manifest.id != expected:
        raise ArtefactError(f"{path}: is not the manifest of {expected}")
    return manifest


class ArtefactCache:
    """Copies of remote artefacts lie in `folder` under their id; local ones are read where they are.

    Methods block, and belong to worker threads.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Keep no artefact of more than `limit` bytes."""
        self._folder, self._limit = folder, limit

    def artefact(
        self,
        address: str,
        expected: str,
        check: Callable[[Manifest], None] = lambda _: None,
        seen: Seen = unseen,
    ) -> Artefact:
        """The verified artefact with the id `expected`.

        Args:
            address: a folder, or what fsspec opens.
            expected: the sha256 of its manifest.
            check: is shown the manifest before anything large is fetched; what it raises ends it.
            seen: is told of bytes as they are verified, and may raise to end it.

        Raises ArtefactError, what `check` and `seen` raise, and for addresses that cannot be read what
        their storage raises (`reaching.lasting` tells which of it lasts).
        """
        files, root = opened(address)
        if isinstance(files, LocalFileSystem):
            return self._verified(Path(root), expected, check, seen)
        kept = self._folder / expected
        if kept.exists():
            try:
                return self._verified(kept, expected, check, seen)
            except ArtefactError as error:  # the disk's fault, not the artefact's
                log.warning("kept artefact is broken and fetched anew: %s", error)
                shutil.rmtree(kept)
        manifest = read_manifest(files, root, expected)
        check(manifest)
        self._fetch(files, root, manifest, kept, seen)
        return Artefact(kept, manifest)

    def signature(self, address: str, expected: str) -> object | None:
        """What changes when a file that `artefact` would read is written to; None if there is none."""
        files, root = opened(address)
        folder = Path(root) if isinstance(files, LocalFileSystem) else self._folder / expected
        if not (folder / MANIFEST).exists():
            return None
        found = ((path, path.stat()) for path in sorted(folder.rglob("*")))
        return tuple((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in found)

    def prune(self, keep: Collection[str]) -> None:
        """Remove copies that are not to be kept, by id. Raises OSError."""
        for path in self._folder.glob("*"):
            if path.name not in keep and not path.name.startswith(_UNFINISHED):
                shutil.rmtree(path)

    def clear_unfinished(self) -> None:
        """Remove what a process left that ended while it fetched; before the first fetch. Raises OSError."""
        for path in self._folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(path)

    def _verified(
        self, folder: Path, expected: str, check: Callable[[Manifest], None], seen: Seen
    ) -> Artefact:
        manifest = read_manifest(LocalFileSystem(), str(folder), expected)
        check(manifest)
        return load(folder, expected, seen)

    def _fetch(self, files: Any, root: str, manifest: Manifest, target: Path, seen: Seen) -> None:
        if manifest.size > self._limit:
            raise TooLarge(f"it has {manifest.size:,} bytes, {self._limit:,} are allowed")
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._folder))
        try:
            for name in manifest.files:
                path = unfinished / name
                path.parent.mkdir(parents=True, exist_ok=True)
                files.get_file(f"{root}/{name}", str(path))
                seen(0)
            (unfinished / MANIFEST).write_bytes(manifest.to_bytes())
            load(unfinished, manifest.id, seen)
            if not target.exists():  # another thread may have been faster
                unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
