"""Candidates' artefacts as folders of this machine, wherever they are kept."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shared.algorithms.artefacts import Artefact, ArtefactError, digest
from shared.algorithms.fetching import ArtefactCache, opened, read_manifest
from shared.algorithms.manifest import MANIFEST, File, Manifest
from shared.algorithms.reaching import reaching

MOST_BYTES = 4 << 30
"""Larger artefacts are not fetched: a policy is some megabytes, a language model's adapter some hundred."""

FETCHES = 4
"""Artefacts that are fetched at once: a storage that never answers keeps one of as many threads."""
SCRATCH = "streamwheel-candidate-"


@contextmanager
def artefact(address: str, expected: str) -> Iterator[Artefact]:
    """The whole verified artefact at an address (a folder, or whatever fsspec reaches: `s3://bucket/…`).

    One from elsewhere lies here while the context is open. Raises Unreachable where the storage is at fault,
    and what lasts as it is: ArtefactError, FileNotFoundError, ImportError.
    """
    with TemporaryDirectory(prefix=SCRATCH) as scratch:
        with reaching(address):
            found = ArtefactCache(Path(scratch), MOST_BYTES).artefact(address, expected)
        yield found


@contextmanager
def parts(address: str, expected: str, names: Collection[str]) -> Iterator[Artefact]:
    """The verified manifest of an artefact, and those of the named files that it has, each verified alone.

    For artefacts whose weights nobody here reads. Raises as `artefact`.
    """
    with TemporaryDirectory(prefix=SCRATCH) as scratch:
        with reaching(address):
            files, root = opened(address)
            manifest = read_manifest(files, root, expected)
            wanted = [name for name in names if name in manifest.files]
            _fetch(files, root, manifest, wanted, Path(scratch))
        yield Artefact(Path(scratch), manifest)


def _fetch(files: Any, root: str, manifest: Manifest, names: Collection[str], folder: Path) -> None:
    size = sum(manifest.files[name].bytes for name in names)
    if size > MOST_BYTES:
        raise ArtefactError(f"{root}: has {size:,} bytes, {MOST_BYTES:,} are allowed")
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(f"{root}/{name}", str(path))
        _verify(path, manifest.files[name], f"{root}/{name}")
    (folder / MANIFEST).write_bytes(manifest.to_bytes())


def _verify(path: Path, stated: File, name: str) -> None:
    if digest(path) != stated:
        raise ArtefactError(f"{name}: is not the file of the manifest")
