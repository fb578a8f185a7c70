"""Language models on an Ollama server, as rollouts want them: made and warm before anybody is given one, the
alias on the stable one, those that are over deleted.

What is there is compared with what is wanted, again and again: it does not matter where a process was killed.
"""

import logging
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.deployer.book import Book
from services.deployer.settings import DeployerSettings
from shared.algorithms.artefacts import Artefact
from shared.algorithms.export.errors import NotExportable
from shared.algorithms.export.ollama import Ollama, server_address
from shared.algorithms.fetching import ArtefactCache, expected_id
from shared.algorithms.reaching import Unreachable, reaching
from shared.wire.rollouts import Deployed

ADAPTER, WHOLE = "adapter_model.safetensors", frozenset({"config.json", "tokenizer.json"})
"""Files of a language model's artefact: an adapter of one, or all of it."""
AGAIN_S, RETRY_S, LOOK_S = 60.0, 5.0, 0.2
"""Seconds between comparisons, after one that failed, and between looks at an export."""
UNUSABLE = (NotExportable, Unreachable, OSError, ValueError, LookupError, TypeError, ImportError)
"""What a broken artefact (a ValueError), storages, a full disk and a server's odd reply raise."""
TOLD = 500
"""Characters of what a failed export said last."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What an application's rollouts want of the server."""

    stable: Deployed
    canary: Deployed | None
    over: tuple[str, ...]
    """Policies that were rolled out, and neither decide nor are next to be gone back to."""

    @property
    def deciding(self) -> tuple[Deployed, ...]:
        """The canary first: a stage waits for it."""
        return (self.canary, self.stable) if self.canary else (self.stable,)


def wanted(book: Book) -> Wanted:
    """What a book wants."""
    state = book.state
    canary = book.deployed(state.rollout.policy) if state.rollout else None
    kept = {*state.history[-1:], *state.queue}
    over = (
        name
        for name, entry in book.entries.items()
        if entry.submitted and not book.live(name) and name not in kept
    )
    return Wanted(book.deployed(state.stable), canary, tuple(over))


def model_name(application: str, policy: str) -> str:
    """The model of a policy, as `streamwheel export` names it."""
    return f"streamwheel-{application}:{policy[:12]}"


def alias(application: str) -> str:
    """The name under which the stable model always answers."""
    return f"streamwheel-{application}:stable"


class Models:
    """Works in a thread of its own. Without an address every policy is ready.

    Raises NotExportable for an address that is none.
    """

    def __init__(self, settings: DeployerSettings) -> None:
        self._address = server_address(settings.ollama_host) if settings.ollama_host else None
        self._cache = ArtefactCache(settings.copies, settings.artefact_bytes)
        self._command, self._limit = settings.export_command, settings.export_limit.total_seconds()
        self._wanted: Mapping[str, Wanted] = {}
        self._problems: dict[str, str | None] = {}
        """Of each policy that decides; None if its model is ready, or it is no language model."""
        self._language: dict[str, bool] = {}
        self._aliased: dict[str, str] = {}
        self._changed, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="models")

    def start(self) -> None:
        """Begin to compare."""
        if self._address:
            self._thread.start()

    def stop(self) -> None:
        """End; an export under way is ended too, and begun again by who takes over."""
        self._stopping.set()
        self._changed.set()
        if self._address:
            self._thread.join()

    def want(self, books: Mapping[str, Book]) -> None:
        """Say what rollouts want now; from any thread. Without books nothing is done: another one leads."""
        self._wanted = {name: wanted(book) for name, book in books.items()}
        self._changed.set()

    def problem(self, policy: str) -> str | None:
        """Why a policy's model is not ready."""
        return self._problems.get(policy, "its model is not ready yet") if self._address else None

    def _run(self) -> None:
        assert self._address is not None
        while not self._stopping.is_set():
            self._changed.clear()
            asked = self._wanted
            with Ollama(self._address) as server:
                good = [self._compare(server, name, each) for name, each in asked.items()]
            decides = {each.policy for one in asked.values() for each in one.deciding}
            self._problems = {name: why for name, why in self._problems.items() if name in decides}
            self._changed.wait(AGAIN_S if all(good) else RETRY_S)

    def _compare(self, server: Ollama, application: str, asked: Wanted) -> bool:
        good = True
        for deployed in asked.deciding:
            try:
                self._make(server, application, deployed)
                self._problems[deployed.policy] = None
            except UNUSABLE as error:
                log.warning("model of %s: %s", deployed.policy, error)
                self._problems[deployed.policy] = str(error)
                good = False
        try:
            self._tidy(server, application, asked)
        except UNUSABLE as error:
            log.warning("models of %s: %s", application, error)
            good = False
        return good

    def _make(self, server: Ollama, application: str, deployed: Deployed) -> None:
        if deployed.policy not in self._language:
            self._language[deployed.policy] = bool(deployed.artefact) and _is_language(
                self._artefact(deployed)
            )
        if not self._language[deployed.policy]:
            return
        name = model_name(application, deployed.policy)
        if server.show(name) is None:
            self._export(deployed, name)
        elif self._problems.get(deployed.policy, "unknown") is None:
            return
        server.generate(name, "", 1)  # an empty prompt has it loaded

    def _tidy(self, server: Ollama, application: str, asked: Wanted) -> None:
        stable = asked.stable.policy
        if self._language.get(stable) and not self._problems.get(stable):
            if self._aliased.get(application) != stable:
                server.copy(model_name(application, stable), alias(application))
            self._aliased[application] = stable
        if asked.over and any(self._language.values()):
            there = server.models()
            for policy in asked.over:
                if model_name(application, policy) in there:
                    server.delete(model_name(application, policy))

    def _artefact(self, deployed: Deployed) -> Artefact:
        expected = expected_id(deployed.policy, deployed.manifest_sha256 or deployed.policy)
        with reaching(deployed.artefact):
            return self._cache.artefact(deployed.artefact, expected)

    def _export(self, deployed: Deployed, name: str) -> None:
        assert self._address is not None
        with tempfile.TemporaryDirectory(prefix="streamwheel-export-") as folder:
            command: Sequence[str] = (
                *(
                    *self._command,
                    str(self._artefact(deployed).folder),
                    "--format",
                    "ollama",
                    "--ollama",
                    self._address,
                ),
                *("--name", name, "--out", folder),
            )
            said = Path(folder) / "said.txt"
            with said.open("wb") as output:
                process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            waited = 0.0
            while process.poll() is None and not self._stopping.wait(LOOK_S) and waited < self._limit:
                waited += LOOK_S
            if process.poll() is None:
                process.kill()
                process.wait()
                raise NotExportable(f"exporting took longer than {self._limit:g} s, or the deployer stops")
            if process.returncode:
                raise NotExportable(f"exporting failed: {said.read_text(errors='replace')[-TOLD:].strip()}")


def _is_language(artefact: Artefact) -> bool:
    files = artefact.manifest.files.keys()
    return ADAPTER in files or (files >= WHOLE and any(name.endswith(".safetensors") for name in files))
