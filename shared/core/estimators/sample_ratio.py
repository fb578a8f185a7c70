"""Sample-ratio mismatch: arms' counts against their shares."""

import math
from collections.abc import Iterator, Mapping

from shared.core.estimators.limits import Limits, Reason


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Return the chance that a chi-square variable exceeds `statistic`.

    For whole degrees of freedom the series ends (Abramowitz and Stegun 26.4.4, 26.4.5). Raises ValueError for
    less than one.
    """
    if degrees < 1:
        raise ValueError(f"degrees is {degrees}; it must be at least 1")
    odd = degrees % 2
    tail = math.erfc(math.sqrt(statistic / 2)) if odd else 0.0
    term = math.exp(-statistic / 2) * (math.sqrt(2 * statistic / math.pi) if odd else 1.0)
    for divisor in range(2 + odd, degrees + 1, 2):
        tail += term
        term *= statistic / divisor
    return min(1.0, tail)


def ratio_reasons(counts: Mapping[str, int], shares: Mapping[str, float], limits: Limits) -> Iterator[Reason]:
    """Yield a reason if arms were not assigned by their shares (Pearson's chi-square test).

    Raises ValueError if the arms differ or a share is not above zero.
    """
    if counts.keys() != shares.keys() or len(counts) < 2:
        raise ValueError("counts and shares must name the same arms, at least two")
    if not all(share > 0 for share in shares.values()):
        raise ValueError("every arm's share must be above zero")
    total, whole = sum(counts.values()), sum(shares.values())
    expected = {arm: total * share / whole for arm, share in shares.items()}
    if not total:
        return
    statistic = sum((counts[arm] - expected[arm]) ** 2 / expected[arm] for arm in counts)
    p = chi_square_tail(statistic, len(counts) - 1)
    if p < limits.sample_ratio_p:
        seen = ", ".join(f"{arm} {counts[arm]} of {expected[arm]:.0f} expected" for arm in counts)
        yield Reason("sample-ratio-mismatch", p, limits.sample_ratio_p, f"{seen} (p-value beside the limit)")
