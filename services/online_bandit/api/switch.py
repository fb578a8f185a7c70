"""The kill switch over HTTP: it needs nothing but this process, and tells the log when there is one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.online_bandit.api.deployments import DeploymentStore
from services.online_bandit.api.killing import Kill
from services.online_bandit.api.publishing import Publisher
from services.online_bandit.api.segments import Record
from services.online_bandit.api.served import ServedPolicy
from shared.telemetry.logging import logger
from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import DeploymentEvent

TOPIC = "deployment-events"


@dataclass(frozen=True)
class KillSwitch:
    """Each application's switch in this process. Doing either twice is as good as once.

    `clock` in ms since 1970, `topic` gives full names.
    """

    served: Mapping[str, ServedPolicy]
    deployments: DeploymentStore
    publisher: Publisher
    metrics: Metrics
    topic: Callable[[str], str]
    clock: Callable[[], int]
    new_id: Callable[[], str]

    async def kill(self, application: str, reason: str, by: str) -> Kill:
        """Have only the online policy decide, from now on; kept on disk and told to the log on return.

        Raises OSError and what `Publisher.publish` raises; the switch is on all the same.
        """
        known = self.deployments.killed.get(application)
        kill = known or Kill(self.new_id(), reason, by, self.clock())
        await self.deployments.kill(application, kill)
        logger(__name__).warning("killed", application=application, reason=kill.reason, by=kill.by)
        await self._tell("killed", application, kill.event_id, kill.reason, kill.by, kill.at)
        return kill

    async def revive(self, application: str, reason: str, by: str) -> bool:
        """Obey deployments again, once the log has been told; whether the switch was on.

        Raises OSError and what `Publisher.publish` raises.
        """
        kill = self.deployments.killed.get(application)
        if kill is None:
            return False
        await self._tell("revived", application, f"{kill.event_id}-revived", reason, by, self.clock())
        await self.deployments.revive(application)
        logger(__name__).warning("revived", application=application, reason=reason, by=by)
        return True

    async def _tell(self, what: str, application: str, event_id: str, cause: str, by: str, at: int) -> None:
        deployment, online = self.deployments.deployment(application), self.served[application].name
        stable = deployment.stable.policy if deployment else online
        canary = deployment.canary if deployment else None
        alive = what == "revived"
        event = DeploymentEvent(
            event_id=event_id,
            application=application,
            sequence=deployment.sequence if deployment else 0,
            what=what,
            policy=canary.policy if canary else stable,
            stable=stable if alive else online,
            share=deployment.share if deployment and alive else 0.0,
            stage=deployment.stage if deployment else "",
            cause=cause,
            by=by,
            at=at,
        )
        record = Record(self.topic(TOPIC), application.encode(), event.encode())
        await self.publisher.publish(record)
        self.metrics.records_out.labels(TOPIC).inc()
