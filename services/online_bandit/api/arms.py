"""Which policy decides for which subject: one immutable value for each application."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from services.online_bandit.api.trained import TrainedPolicy
from shared.core.rollout.assignment import is_canary
from shared.wire.rollouts import Arm, Deployed, Deployment

Reason = Literal["blocked", "no-key", "loading", "unreachable", "not-verified", "not-suited", "failed"]


class Problem(NamedTuple):
    """Why the policy of an arm does not decide for it."""

    arm: Arm
    policy: str
    reason: Reason
    message: str


class Failure(NamedTuple):
    """Why an artefact is not there to decide."""

    reason: Reason
    message: str


@dataclass(frozen=True, eq=False)
class Split:
    """A rollout: part of the subjects get the canary."""

    canary: TrainedPolicy | None
    """None: the online policy."""
    share: float
    salt: str
    key: bytes

    def arm(self, subject: str) -> Arm:
        """The subject's arm, the same every time."""
        return "canary" if is_canary(subject, self.share, self.salt, self.key) else "stable"

    def share_of(self, arm: Arm) -> float:
        """The arm's share of subjects."""
        return self.share if arm == "canary" else 1 - self.share


@dataclass(frozen=True, eq=False)
class Arms:
    """What decides. Without any deployment it is the online policy, for everybody."""

    stable: TrainedPolicy | None = None
    """None: the online policy."""
    split: Split | None = None

    @property
    def plain(self) -> bool:
        """Whether the online policy decides everything."""
        return self.stable is None and self.split is None


ONLINE = Arms()


class Resolved(NamedTuple):
    """What a deployment comes to here and now."""

    arms: Arms
    problems: tuple[Problem, ...] = ()


def resolve(
    deployment: Deployment,
    online: str,
    loaded: Mapping[Deployed, TrainedPolicy],
    failures: Mapping[Deployed, Failure],
    key: bytes | None,
) -> Resolved:
    """Let every arm have its policy, as far as that is there and allowed.

    In the place of a stable policy that is not, the online policy decides; a canary that is not is left out,
    and its subjects get stable.

    Args:
        deployment: what is to decide.
        online: the online policy's name in the settings; it cannot be blocked.
        loaded: verified policies.
        failures: what went wrong with others.
        key: of the assignment of subjects; without one nobody gets a canary.
    """
    problems = []

    def usable(arm: Arm, wanted: Deployed) -> bool:
        if not wanted.artefact:
            if wanted.policy.partition("@")[0] == online:
                return True
            failure = Failure("not-verified", "it has no artefact, and is not the online policy")
        elif wanted.policy in deployment.blocked:
            failure = Failure("blocked", "it is blacklisted")
        elif wanted in loaded:
            return True
        else:
            failure = failures.get(wanted, Failure("loading", "its artefact is being fetched"))
        problems.append(Problem(arm, wanted.policy, *failure))
        return False

    stable = loaded.get(deployment.stable) if usable("stable", deployment.stable) else None
    split, canary = None, deployment.canary
    if canary is not None and usable("canary", canary) and deployment.share > 0:
        if key is None:
            message = "STREAMWHEEL_ASSIGNMENT_KEY is not set, so subjects cannot be assigned to arms"
            problems.append(Problem("canary", canary.policy, "no-key", message))
        else:
            split = Split(loaded.get(canary), deployment.share, deployment.salt, key)
    return Resolved(Arms(stable, split), tuple(problems))
