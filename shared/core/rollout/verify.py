"""Check a decision's place in a rollout from outside: its arm, share and mixture propensity."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.core.rollout.assignment import is_canary

TOLERANCE = 1e-9
"""How far numbers may be from those worked out of logged ones: rounding."""
ARMS = ("stable", "canary")


@dataclass(frozen=True)
class Arrangement:
    """Which arms a deployment gave to whom."""

    at: int
    """When it was written, ms since 1970."""
    salt: str
    """Id of the rollout."""
    share: float
    """Of subjects, in [0, 1], that get the canary."""
    stable: str
    canary: str


@dataclass(frozen=True)
class Placement:
    """What a decision says of its place; `mixture_propensity` is None where it is not told."""

    subject: str
    policy: str
    arm: str
    share: float
    propensity: float
    mixture_propensity: float | None
    decided_at: int


def impossible(placed: Placement) -> str | None:
    """Say what no rollout can have led to, whatever its policies are."""
    if placed.arm not in ARMS:
        return f"arm {placed.arm!r} is neither stable nor canary"
    if not 0 < placed.share <= 1:
        return f"share {placed.share!r} of the arm is not in (0, 1]"
    mixture = placed.mixture_propensity
    if mixture is None:
        return None
    least = placed.share * placed.propensity
    if not 0 < mixture <= 1 or not least - TOLERANCE <= mixture <= least + 1 - placed.share + TOLERANCE:
        return f"mixture_propensity {mixture!r} cannot come of propensity {placed.propensity!r} in its arm"
    return None


def arrangement_of(
    placed: Placement, arrangements: Iterable[Arrangement], online: str, latest: int
) -> Arrangement | None:
    """Return the newest arrangement that names this policy and share for the arm, written by `latest` (ms).

    The online policy stands in for a stable policy that is not at hand. None: nobody ordered this decision.
    """
    due = [each for each in arrangements if each.at <= latest and _orders(each, placed, online)]
    return max(due, key=lambda each: each.at, default=None)


def wrong_arm(placed: Placement, arrangement: Arrangement, key: bytes) -> str | None:
    """Say that the subject's arm is another one, if it is. Raises ValueError for a key that is none."""
    canary = is_canary(placed.subject, arrangement.share, arrangement.salt, key)
    due = ARMS[canary]
    return None if due == placed.arm else f"arm is {placed.arm!r}; the subject belongs to {due!r}"


def mixture(placed: Placement, other: float) -> float:
    """Return the action's probability over the draw of the arm as well; `other` is that of the other arm."""
    return min(placed.share * placed.propensity + (1 - placed.share) * other, 1.0)


def same_policy(name: str, other: str) -> bool:
    """Whether two names mean one policy: the online policy's is followed by a digest of its settings."""
    return name.partition("@")[0] == other.partition("@")[0]


def _orders(arrangement: Arrangement, placed: Placement, online: str) -> bool:
    canary = placed.arm == "canary"
    share = arrangement.share if canary else 1 - arrangement.share
    if abs(share - placed.share) > TOLERANCE:
        return False
    named = arrangement.canary if canary else arrangement.stable
    stands_in = not canary and same_policy(placed.policy, online)
    return same_policy(placed.policy, named) or stands_in
