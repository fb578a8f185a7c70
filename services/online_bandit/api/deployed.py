"""What the topic `deployments` says: of each application, the deployment that holds."""

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from services.online_bandit.api import segments
from services.online_bandit.api.segments import Record
from shared.telemetry.logging import logger
from shared.wire.codec import WireError
from shared.wire.rollouts import Deployment, read_deployment

TOPIC = "deployments"
FOREIGN = "unknown-application"


class DeploymentLog:
    """The records so far."""

    def __init__(self, applications: Collection[str]) -> None:
        self._applications = applications
        self.known: dict[str, Deployment] = {}
        self.dead: Counter[str] = Counter()
        """Records that say nothing, by reason."""
        self.filtered = 0
        """Records of applications that are not served here."""

    def absorb(self, records: Iterable[tuple[bytes | None, bytes | None]]) -> set[str]:
        """Take (key, value) of the log's next records; the applications with news."""
        news = set()
        for key, value in records:
            application = (key or b"").decode(errors="replace")
            if application not in self._applications:
                self.filtered += 1
            elif value is None:
                news |= {application} & self.known.keys()
                self.known.pop(application, None)
            elif (found := self._read(application, value)) and self._is_news(found):
                self.known[application] = found
                news.add(application)
        return news

    def save(self, path: Path) -> None:
        """Keep what holds in a file that `load` reads. Raises OSError."""
        segments.replace(
            path, [Record(TOPIC, name.encode(), each.encode()) for name, each in self.known.items()]
        )

    def load(self, path: Path) -> set[str]:
        """Take what `save` kept; the applications it tells something about. Raises OSError."""
        if not path.exists():
            return set()
        return self.absorb((record.key, record.value) for record in segments.read(path)[0])

    def _read(self, application: str, value: bytes) -> Deployment | None:
        try:
            found = read_deployment(value)
            if found.application != application:
                raise WireError("malformed", f"it stands under the key of {application}")
        except (WireError, ValueError, KeyError, TypeError) as error:
            logger(__name__).error("deployment cannot be obeyed", application=application, why=str(error))
            self.dead[error.reason if isinstance(error, WireError) else "malformed"] += 1
            return None
        return found

    def _is_news(self, found: Deployment) -> bool:
        known = self.known.get(found.application)
        return known is None or (found.sequence >= known.sequence and found != known)
