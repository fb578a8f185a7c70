"""Artefacts are verified in threads of their own: those of language models take minutes, and guards go on."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from shared.algorithms.fetching import ArtefactCache, expected_id
from shared.algorithms.manifest import Manifest
from shared.algorithms.reaching import Attempts, Unreachable, described, lasting, wrong
from shared.wire.rollouts import Deployed

THREADS = 2
"""A large artefact must not keep a small one waiting."""
log = logging.getLogger(__name__)


class Stopped(Exception):
    """The deployer ends."""


@dataclass(frozen=True)
class Checked:
    """What is wrong with an artefact: nothing if `problem` is empty."""

    problem: str = ""
    broken: bool = False
    """Whether it is not what it should be; otherwise it could not be reached."""


@dataclass
class Progress:
    """How far the verification of a policy's artefact has come, in bytes."""

    policy: str
    done: int = 0
    of: int = 0
    problem: str = ""
    """Why it is tried again after a pause."""


class Verifier:
    """Files are verified against the manifest, and that against what deployments say of it.

    An artefact whose files have not been touched since they were verified is not read again. A storage that
    cannot be reached is tried again for `limit_s` seconds, and keeps no thread in the pauses.
    """

    def __init__(self, cache: ArtefactCache, limit_s: float) -> None:
        self._cache, self._limit_s = cache, limit_s
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._asked: dict[Deployed, Future[Checked]] = {}
        self._sound: dict[Deployed, object] = {}
        self._progress: dict[Deployed, Progress] = {}
        self._stopping = threading.Event()
        # Daemons: what hangs in a storage must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._run, name="artefacts", daemon=True) for _ in range(THREADS)
        ]

    def start(self) -> None:
        """Begin to verify."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End what is under way soon."""
        self._stopping.set()
        for _ in self._threads:
            self._jobs.put(None)

    def ask(self, deployed: Deployed) -> "Future[Checked]":
        """What becomes of verifying an artefact now, or since it was asked for and has not ended."""
        asked = self._asked.get(deployed)
        if asked is None or asked.done():
            asked = self._asked[deployed] = Future()
            self._progress[deployed] = Progress(deployed.policy)
            self._jobs.put(partial(self._answer, deployed, asked, Attempts(self._limit_s)))
        return asked

    @property
    def progress(self) -> Mapping[Deployed, Progress]:
        """Of what is under way."""
        return dict(self._progress)

    def keep(self, wanted: Collection[str]) -> None:
        """Remove copies of artefacts but those with these ids."""
        self._jobs.put(lambda: self._cache.prune(wanted))

    def _run(self) -> None:
        while not self._stopping.is_set() and (job := self._jobs.get()) is not None:
            try:
                job()
            except OSError as error:
                log.warning("copies of artefacts cannot be removed: %s", error)

    def _answer(self, deployed: Deployed, asked: "Future[Checked]", attempts: Attempts) -> None:
        try:
            found = self._checked(deployed)
        except Unreachable as error:
            log.warning("%s: %s", deployed.policy, error)
            if (pause := attempts.pause()) is not None:
                self._progress[deployed].problem = str(error)
                self._later(pause, partial(self._answer, deployed, asked, attempts))
                return
            found = Checked(attempts.told(str(error)))
        self._progress.pop(deployed, None)
        asked.set_result(found)

    def _later(self, pause: float, job: Callable[[], None]) -> None:
        timer = threading.Timer(pause, self._jobs.put, (job,))
        timer.daemon = True
        timer.start()

    def _checked(self, deployed: Deployed) -> Checked:
        """What is wrong with an artefact. Raises Unreachable."""
        if not deployed.artefact:
            return Checked("nobody said where it lies", broken=True)
        try:
            self._verify(deployed)
        except Stopped:
            return Checked("the deployer has ended")
        except Exception as error:  # storages of all kinds raise classes of their own
            if not lasting(error):
                raise Unreachable(described(deployed.artefact, error)) from error
            missing_library = isinstance(error, ImportError)
            return Checked(wrong(deployed.artefact, error), broken=not missing_library)
        return Checked()

    def _verify(self, deployed: Deployed) -> None:
        expected = expected_id(deployed.policy, deployed.manifest_sha256 or deployed.policy)
        before = self._cache.signature(deployed.artefact, expected)
        if before is not None and self._sound.get(deployed) == before:
            return
        progress = self._progress[deployed]

        def begun(manifest: Manifest) -> None:
            progress.done, progress.of = 0, manifest.size

        def seen(size: int) -> None:
            progress.done += size
            if self._stopping.is_set():
                raise Stopped

        self._cache.artefact(deployed.artefact, expected, begun, seen)
        self._sound[deployed] = self._cache.signature(deployed.artefact, expected)
