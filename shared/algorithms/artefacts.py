"""Artefacts: folders of safetensors, ONNX and JSON with a manifest, named by their content.

An artefact lies at `<root>/<id>`. The id is the sha256 of its manifest, which holds the sha256 of every other
file, so who knows the id can tell that nothing was changed. It appears whole, by one rename.
"""

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.algorithms.contract import Dataset, NotTrainable, Progress, finite_metrics
from shared.algorithms.manifest import MANIFEST, File, LineageSource, Manifest, file_problem
from shared.algorithms.parameters import to_document
from shared.algorithms.registry import Algorithm

#: Larger manifests are not read: ten thousand files of lineage take 2 MB.
LARGEST_MANIFEST = 64 << 20
_CHUNK = 1 << 20
#: Is told how many bytes were read; what it raises ends the reading.
Seen = Callable[[int], None]


def unseen(_: int) -> None:
    """Nobody follows."""


class ArtefactError(ValueError):
    """A folder that is not, or no longer, the artefact that it should be; the message names the file."""


@dataclass(frozen=True)
class Artefact:
    """A folder whose files have been verified."""

    folder: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        """sha256 of its manifest."""
        return self.manifest.id

    def file(self, name: str) -> Path:
        """Return where a file of the manifest lies. Raises ArtefactError if it has none of that name."""
        if name not in self.manifest.files:
            raise ArtefactError(f"{self.folder}: has no {name}")
        return self.folder / name


def train(
    algorithm: Algorithm, data: Dataset, parameters: Any, seed: int, root: Path, progress: Progress
) -> Artefact:
    """Train and keep the outcome under `root`. What was made before the same way is found there again.

    Raises NotTrainable, MissingLibrary, OSError.
    """
    module = algorithm.training()

    def build(folder: Path) -> Manifest:
        metrics = finite_metrics(module.train(data, parameters, seed, folder, progress))
        return Manifest(
            application=data.application,
            algorithm=algorithm.name,
            parameters=to_document(parameters),
            seed=seed,
            inputs=dict(algorithm.declaration.inputs(data)),
            previous=None if data.previous is None else load(data.previous).id,
            lineage=[LineageSource(**asdict(source)) for source in data.lineage],
            metrics=metrics,
            libraries={"python": platform.python_version(), **algorithm.libraries()},
            files=digests(folder),
        )

    return write(root, build)


def write(root: Path, build: Callable[[Path], Manifest]) -> Artefact:
    """Let `build` fill a folder and describe it, then move that to `<root>/<id>`.

    The folder is not seen under its name before it is whole and on disk. Raises what `build` raises, OSError.
    """
    root.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=root))
    try:
        manifest = build(made)
        (made / MANIFEST).write_bytes(manifest.to_bytes())
        _sync(made)
        target = root / manifest.id
        if not target.exists():
            made.chmod(0o755)
            made.rename(target)
            _sync_folder(root)
        return load(target, manifest.id)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def load(folder: Path, expected: str | None = None, seen: Seen = unseen) -> Artefact:
    """Verify a folder against its manifest, and that against the id that it is `expected` to have.

    Without `expected`, the folder's own name counts as such if it looks like an id. Raises ArtefactError
    naming the file that was changed, is missing or is one too many; and what `seen` raises.
    """
    manifest = _manifest(folder)
    expected = expected or (folder.name if len(folder.name) == 64 else None)
    if expected is not None and manifest.id != expected:
        raise ArtefactError(f"{folder / MANIFEST}: is not the manifest of {expected}")
    present = _files(folder)
    for name in sorted(manifest.files.keys() - present.keys()):
        raise ArtefactError(f"{folder / name}: missing")
    for name in sorted(present.keys() - manifest.files.keys()):
        raise ArtefactError(f"{folder / name}: is not in the manifest")
    for name, stated in sorted(manifest.files.items()):
        if digest(present[name], seen) != stated:
            raise ArtefactError(f"{folder / name}: is not the file of the manifest")
    return Artefact(folder, manifest)


def digests(folder: Path) -> dict[str, File]:
    """Digest of every file. Raises ValueError for a file of a kind that artefacts may not hold."""
    found = {}
    for name, path in sorted(_files(folder).items()):
        if problem := file_problem(name):
            raise ValueError(f"{name} {problem}")
        found[name] = digest(path)
    return found


def previous_artefact(data: Dataset, algorithm: str) -> Artefact | None:
    """The verified artefact that training goes on from. Raises NotTrainable if it cannot, ArtefactError."""
    if data.previous is None:
        return None
    found = load(data.previous)
    made = found.manifest
    if (made.application, made.algorithm) != (data.application, algorithm):
        raise NotTrainable(f"previous: {data.previous} is a {made.algorithm} of {made.application}")
    return found


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST_MANIFEST:
            raise ArtefactError(f"{path}: is no manifest of at most {LARGEST_MANIFEST} bytes")
        return Manifest.from_bytes(path.read_bytes())
    except OSError as error:
        raise ArtefactError(f"{path}: {error.strerror}") from error
    except ArtefactError:
        raise
    except ValueError as error:
        raise ArtefactError(f"{path}: is no manifest: {error}") from error


def _files(folder: Path) -> Mapping[str, Path]:
    """Every file but the manifest, by its path in the folder. Raises ArtefactError for a link or a device."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtefactError(f"{path}: is neither a file nor a folder")
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            found[name] = path
    return found


def digest(path: Path, seen: Seen = unseen) -> File:
    """Digest and size of a file. Raises OSError."""
    found, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
            size += len(chunk)
            seen(len(chunk))
    return File(sha256=found.hexdigest(), bytes=size)


def _sync(folder: Path) -> None:
    """Have the disk hold everything before the rename does."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
