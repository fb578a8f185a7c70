"""Kafka's jars, fetched once from Maven Central into a cache and checked against `jars.sha256`.

`python -m shared.broker.jars lock` resolves the versions anew and rewrites that file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

COORDINATES = (
    "org.apache.kafka:kafka_2.13:4.1.1",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
)
LOCK = Path(__file__).with_name("jars.sha256")
DOWNLOADS_AT_ONCE = 8
ATTEMPTS = 3


class DownloadError(RuntimeError):
    """Kafka's jars could not be fetched, or are not the ones that were locked."""


class Jar(NamedTuple):
    """One locked artifact: Maven coordinate `group:artifact:version` and the sha256 of its jar."""

    coordinate: str
    sha256: str


def cache_home() -> Path:
    """The folder for downloads: STREAMWHEEL_CACHE, or `streamwheel` in XDG_CACHE_HOME or ~/.cache."""
    if chosen := os.environ.get("STREAMWHEEL_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamwheel"


def read_lock(text: str) -> list[Jar]:
    """Parse lines of `sha256  group:artifact:version`."""
    return [Jar(line.split()[1], line.split()[0]) for line in text.splitlines() if line.strip()]


def class_path(cache: Path | None = None) -> str:
    """The Java class path of the embedded Kafka, downloading it first when it is not in the cache.

    Raises DownloadError when a jar cannot be fetched or its sha256 differs from the lock.
    """
    return str(install(cache or cache_home()) / "*")


def install(cache: Path) -> Path:
    """The folder with every locked jar. It exists only complete and verified, so finding it is enough."""
    text = LOCK.read_text()
    folder = cache / f"kafka-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as scratch:
        complete = Path(scratch) / "complete"
        complete.mkdir()
        for jar in _download(read_lock(text), Path(scratch) / "maven"):
            shutil.move(jar, complete / jar.name)
        try:
            complete.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process installed the same jars meanwhile
                raise
    return folder


def verify(path: Path, jar: Jar) -> Path:
    """Return `path` when its content has the locked sha256; otherwise delete it and raise DownloadError."""
    found = _sha256(path)
    if found != jar.sha256:
        path.unlink()
        raise DownloadError(
            f"{jar.coordinate}: sha256 is {found}, locked is {jar.sha256}. The download was damaged or "
            "altered on its way; try again, and check the proxy if it stays so."
        )
    return path


def _download(jars: Iterable[Jar], repository: Path) -> Iterator[Path]:
    context = _maven(repository)
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        yield from pool.map(lambda jar: _fetch(context, jar), jars)


def _fetch(context: Any, jar: Jar) -> Path:
    group, artifact, version = jar.coordinate.split(":")
    problem: Exception | None = None
    for _ in range(ATTEMPTS):
        wanted = context.project(group, artifact).at_version(version).artifact()
        try:
            return verify(Path(wanted.resolve()), jar)
        except (OSError, RuntimeError, AssertionError) as error:  # what jgo and requests raise
            problem = error
            wanted.cached_path.unlink(missing_ok=True)
    if isinstance(problem, DownloadError):
        raise problem
    raise DownloadError(
        f"cannot fetch {jar.coordinate} from {', '.join(context.remote_repos.values())}: {problem}. The "
        "embedded Kafka is downloaded once (43 MB): connect to the network, set HTTPS_PROXY, name a mirror "
        "with STREAMWHEEL_MAVEN, or use an existing cluster with STREAMWHEEL_BROKER=host:port."
    )


def _maven(repository: Path) -> Any:
    from jgo import MAVEN_CENTRAL_URL, MavenContext

    source = os.environ.get("STREAMWHEEL_MAVEN", MAVEN_CENTRAL_URL)
    return MavenContext(repo_cache=repository, remote_repos={"central": source})


def lock() -> list[Jar]:
    """Resolve COORDINATES with all runtime dependencies, and return them with their jars' sha256."""
    with tempfile.TemporaryDirectory() as scratch:
        context = _maven(Path(scratch))
        chosen: dict[tuple[str, str], Any] = {}
        for coordinate in COORDINATES:  # one by one: what Kafka asks for goes before what its logging does
            inputs, transitive = context.resolver.resolve([context.create_dependency(coordinate)])
            runtime = [each for each in transitive if each.scope in ("compile", "runtime")]
            for artifact in (each.artifact for each in (*inputs, *runtime)):
                chosen.setdefault((artifact.groupId, artifact.artifactId), artifact)
        return sorted(
            Jar(f"{group}:{name}:{artifact.version}", _sha256(Path(artifact.resolve())))
            for (group, name), artifact in chosen.items()
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        sys.exit("usage: python -m shared.broker.jars lock")
    LOCK.write_text("".join(f"{jar.sha256}  {jar.coordinate}\n" for jar in lock()))
