"""Whether a policy is better than its reference, on queries that training did not see."""

from dataclasses import dataclass

from shared.algorithms.language.statistics import Estimate, Numbers, length_slope, mean_with_interval


@dataclass(frozen=True, eq=False)
class Answers:
    """Rewards and lengths in tokens of the answers to each query, means, both of shape (n,)."""

    rewards: Numbers
    lengths: Numbers


@dataclass(frozen=True)
class Verdict:
    """`gain` in reward over the reference, also at equal length; `reasons` why it is not called better."""

    gain: Estimate
    gain_at_equal_length: Estimate
    reasons: tuple[str, ...]

    @property
    def better(self) -> bool:
        """No reason against it."""
        return not self.reasons


def judge(before: Answers, after: Answers, divergence: float, target: float, seed: int) -> Verdict:
    """Compare answers to the same queries; `divergence` from the reference is in nats per token."""
    gained = after.rewards - before.rewards
    gain = mean_with_interval(gained, seed)
    slope = length_slope([(before.lengths, before.rewards), (after.lengths, after.rewards)])
    at_equal_length = mean_with_interval(gained - slope * (after.lengths - before.lengths), seed)
    reasons = []
    if divergence > target:
        reasons.append(f"divergence from the reference is {divergence:.3f} nats per token, target {target:g}")
    if gain.low <= 0:
        reasons.append(f"gain in reward {gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}] is not above 0")
    elif at_equal_length.low <= 0:
        reasons.append(
            "only the length grew: at equal length the gain is"
            f" {at_equal_length.value:.3f} [{at_equal_length.low:.3f}, {at_equal_length.high:.3f}]"
        )
    return Verdict(gain, at_equal_length, tuple(reasons))
