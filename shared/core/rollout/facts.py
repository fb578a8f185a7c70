"""What a rollout is, what can happen to it, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum

from shared.core.rollout.settings import RolloutSettings


class Health(StrEnum):
    """What guards make of a stage so far."""

    GOOD = "good"
    """Every guard passes, and the evaluation does."""
    UNSURE = "unsure"
    """Too early, data are missing, or arms are not assigned by their shares: hold."""
    BREACH = "breach"
    """A guard is broken."""


@dataclass(frozen=True)
class Submit:
    """A candidate has passed its evaluation."""

    policy: str


@dataclass(frozen=True)
class Observe:
    """Guards looked at the rollout of a candidate, over so many closed rewards of the smaller arm."""

    policy: str
    health: Health
    samples: int


@dataclass(frozen=True)
class Pause:
    """Stay at this stage."""


@dataclass(frozen=True)
class Resume:
    """Go on; the stage bakes anew."""


@dataclass(frozen=True)
class Promote:
    """Go to the next stage without waiting."""


@dataclass(frozen=True)
class Abort:
    """End the rollout; the candidate may come again."""


@dataclass(frozen=True)
class Rollback:
    """End the rollout, or without one go back to the last good stable version."""


@dataclass(frozen=True)
class Kill:
    """Somebody pulled a kill switch: end the rollout, and freeze until somebody thaws."""


@dataclass(frozen=True)
class Freeze:
    """Start nothing and advance nothing; what harms is still taken back."""


@dataclass(frozen=True)
class Thaw:
    """The opposite of freeze; the stage bakes anew."""


@dataclass(frozen=True)
class Block:
    """Blacklist a policy, until a time or for ever."""

    policy: str
    reason: str
    until: float | None = None


@dataclass(frozen=True)
class Unblock:
    """Take a policy off the blacklist."""

    policy: str


Event = (
    Submit | Observe | Pause | Resume | Promote | Abort | Rollback | Kill | Freeze | Thaw | Block | Unblock
)


@dataclass(frozen=True)
class Rollout:
    """A candidate on its way."""

    policy: str
    stage: int
    """Index in the settings' stages."""
    since: float
    """When it came to this stage, in seconds."""
    started: float
    paused: bool = False


@dataclass(frozen=True)
class State:
    """All that a deployer knows of one application."""

    base: str
    """The policy to fall back on when nothing else is good; never blacklisted."""
    stable: str
    history: tuple[str, ...] = ()
    """Earlier stable versions, oldest first."""
    rollout: Rollout | None = None
    queue: tuple[str, ...] = ()
    blocked: tuple[Block, ...] = ()
    frozen: bool = False
    sequence: int = 0
    """Number of the last transition."""

    def share(self, settings: RolloutSettings) -> float:
        """Return the share of subjects that get the candidate."""
        return settings.stages[self.rollout.stage].share if self.rollout else 0.0

    def blocks(self, policy: str, now: float) -> bool:
        """Return whether a policy is blacklisted."""
        return any(
            each.policy == policy and (each.until is None or now < each.until) for each in self.blocked
        )


@dataclass(frozen=True)
class Transition:
    """One line of the audit: what is deployed from now on, and why."""

    sequence: int
    at: float
    what: str
    policy: str
    stable: str
    share: float
    """Of the candidate, afterwards."""
    cause: str


@dataclass(frozen=True)
class Outcome:
    """What an event led to."""

    state: State
    transitions: tuple[Transition, ...] = ()
    refused: str | None = None
    """Why the event means nothing in this state: it then has no effect."""
