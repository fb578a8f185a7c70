"""Makes what weighs candidates, in threads: storages take their time, and rewards are counted meanwhile."""

import logging
import time
from collections.abc import Callable, Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from services.evaluator.artefacts import FETCHES
from services.evaluator.asking import Unusable
from services.evaluator.weighing import Weigher
from shared.algorithms.reaching import LONGEST_S, Attempts, Unreachable
from shared.wire.training import Candidate

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Loading:
    """`due` is when it is tried again, by the monotonic clock."""

    candidate: Candidate
    made: Future[Weigher]
    attempts: Attempts
    due: float | None = None


class Loader:
    """Makes weighers by `make`, which raises Unusable or Unreachable; pauses grow up to `limit_s` of them."""

    def __init__(self, make: Callable[[Candidate], Weigher], limit_s: float) -> None:
        self._make, self._limit_s = make, limit_s
        self._threads = ThreadPoolExecutor(FETCHES, "policies")
        self._loading: dict[str, _Loading] = {}

    @property
    def names(self) -> Set[str]:
        """Ids of candidates that are not ready yet."""
        return self._loading.keys()

    def begin(self, candidate: Candidate) -> None:
        """Make its weigher, and try again while its storage cannot be reached."""
        made = self._threads.submit(self._make, candidate)
        self._loading[candidate.candidate_id] = _Loading(candidate, made, Attempts(self._limit_s))

    def drop(self, name: str) -> None:
        """It is not wanted any more."""
        self._loading.pop(name).made.cancel()

    def ready(self) -> Iterator[tuple[Candidate, Weigher | Unusable]]:
        """Candidates whose weigher is made, or cannot be, each once."""
        for name, each in list(self._loading.items()):
            if not each.made.done():
                continue
            try:
                found: Weigher | Unusable = each.made.result()
            except Unreachable as error:
                self._again(each, error)
                continue
            except Unusable as error:
                found = error
            del self._loading[name]
            yield each.candidate, found

    def close(self) -> None:
        """Wait for nothing that is being fetched."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _again(self, loading: _Loading, error: Unreachable) -> None:
        if loading.due is None:
            log.warning("%s is not followed yet: %s", loading.candidate.candidate_id, error)
            loading.due = time.monotonic() + (loading.attempts.pause() or LONGEST_S)
        elif time.monotonic() >= loading.due:
            loading.due = None
            loading.made = self._threads.submit(self._make, loading.candidate)
