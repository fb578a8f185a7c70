"""Files below one address: a local folder, or whatever fsspec reaches (`s3://bucket/folder`, `memory://x`)."""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

_SCRATCH = ".scratch-"


class Storage:
    """Named files, each of which appears whole or not at all. Names are relative, folders end with `/`."""

    def __init__(self, address: str) -> None:
        self._files, root = fsspec.core.url_to_fs(address)
        self._local = isinstance(self._files, LocalFileSystem)
        self._root = str(Path(root).absolute()) if self._local else str(root).rstrip("/")
        self.address = self._root if self._local else self._files.unstrip_protocol(self._root)

    def names(self, folder: str = "") -> list[str]:
        """The names of all files in `folder` and below it, sorted."""
        self._files.invalidate_cache()
        return sorted(name for name in self._found(folder) if not _is_scratch(name))

    def exists(self, name: str) -> bool:
        """Whether there is such a file now."""
        self._files.invalidate_cache()
        return bool(self._files.exists(self._path(name)))

    def read(self, name: str) -> bytes:
        """A file's content. Raises FileNotFoundError."""
        content: bytes = self._files.cat_file(self._path(name))
        return content

    def write(self, name: str, content: bytes) -> None:
        """Create or replace a file. It is on disk, under this name, once this returns. Raises OSError.

        A local file is renamed into place. An object store shows an object only once it has all of it.
        """
        if not self._local:
            self._files.pipe_file(self._path(name), content)
            return
        path = Path(self._path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{_SCRATCH}{uuid.uuid4().hex}")
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(path)
        _sync_folder(path.parent)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            self._files.rm_file(self._path(name))
        except FileNotFoundError:
            return

    def clear_scratch(self, older_than_s: float = 3600.0) -> None:
        """Remove what writers that were killed left behind; younger files may be being written."""
        for name in [name for name in self._found("") if _is_scratch(name)]:
            if time.time() - self._files.modified(self._path(name)).timestamp() >= older_than_s:
                self.remove(name)

    def _found(self, folder: str) -> Iterator[str]:
        for path in self._files.find(self._path(folder) if folder else self._root):
            yield str(path).removeprefix(self._root).lstrip("/")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _is_scratch(name: str) -> bool:
    return name.rpartition("/")[2].startswith(_SCRATCH)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
