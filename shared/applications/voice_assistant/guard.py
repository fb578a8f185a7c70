"""How much traffic each variant may get: new ones little, uncertain ones some, bad ones none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np

from shared.applications.contract import Numbers
from shared.applications.voice_assistant.statistics import MIN_PULLS, Statistics, VariantStatistics

HALVINGS = 200
"""Steps of the bisection: far beyond the precision of a double."""


class Standing(Enum):
    """What the guard makes of a variant."""

    BASE = "base"
    NEW = "new"
    UNCERTAIN = "uncertain"
    PROVEN = "proven"
    BLACKLISTED = "blacklisted"


@dataclass(frozen=True)
class GuardSettings:
    """The limits of the specification."""

    base: str = "v1a"
    """Never blacklisted, always active; it takes what the others may not have."""
    blacklist_mean: float = -0.2
    """A lower mean ends a variant …"""
    blacklist_pulls: int = 20
    """… once it had so many calls."""
    new_pulls: int = 20
    """With fewer calls a variant is new."""
    new_most: float = 0.10
    """The most that a new variant gets."""
    uncertain_confidence: float = 0.6
    """With a lower confidence a variant is uncertain."""
    uncertain_least: float = 0.05
    uncertain_most: float = 0.20
    min_pulls: int = MIN_PULLS
    """Calls below which there is no confidence."""
    most_active: int = 5
    """Active variants beside the base."""


def standing(variant: str, known: Statistics, settings: GuardSettings) -> Standing:
    """What a variant is; one without statistics is new."""
    of_variant = known.get(variant, VariantStatistics())
    if variant == settings.base:
        return Standing.BASE
    if of_variant.pulls >= settings.blacklist_pulls and of_variant.mean < settings.blacklist_mean:
        return Standing.BLACKLISTED
    if of_variant.pulls < settings.new_pulls:
        return Standing.NEW
    if of_variant.confidence(settings.min_pulls) < settings.uncertain_confidence:
        return Standing.UNCERTAIN
    return Standing.PROVEN


def blacklisted(known: Statistics, settings: GuardSettings) -> frozenset[str]:
    """The variants that are to be taken out for good."""
    return frozenset(name for name in known if standing(name, known, settings) is Standing.BLACKLISTED)


def shares(
    known: Statistics,
    wanted: Mapping[str, float],
    settings: GuardSettings,
    banned: frozenset[str] = frozenset(),
) -> dict[str, float]:
    """Shares of traffic, summing to 1, as near to those `wanted` as the limits allow.

    `wanted` gives each variant, the base too, a number above 0, for example its probability of being the
    best; `banned` were blacklisted before. Of the others, those wanted most are active; variants that are not
    get no entry. Raises ValueError if the base is missing or a number is not above 0.
    """
    if settings.base not in wanted:
        raise ValueError(f"the base variant {settings.base} is not among {', '.join(wanted)}")
    if wrong := [name for name, weight in wanted.items() if not weight > 0]:
        raise ValueError(f"{wrong[0]}: must be wanted by a number above 0")
    standings = {name: standing(name, known, settings) for name in wanted}
    allowed = [
        name
        for name, found in standings.items()
        if found not in (Standing.BASE, Standing.BLACKLISTED) and name not in banned
    ]
    active = sorted(allowed, key=lambda name: -wanted[name])[: settings.most_active]
    limits = {name: _limits(standings[name], settings) for name in active}
    scale = _scale(wanted, limits, settings.base)
    found = {name: _clipped(scale * wanted[name], limits[name]) for name in active}
    return {settings.base: 1.0 - sum(found.values()), **found}


@dataclass(frozen=True)
class VariantGuard:
    """The limits on the list of an application's variants."""

    variants: tuple[str, ...]
    settings: GuardSettings = GuardSettings()

    def known(self, pulls: Numbers, means: Numbers) -> dict[str, VariantStatistics]:
        """What is known of each variant, from arrays in the order of the list; NaN is the mean of none."""
        return _known(self.variants, pulls.tolist(), means.tolist())

    def shares(self, pulls: Numbers, means: Numbers, wanted: Numbers) -> Numbers:
        """As in `TrafficGuard`; the same numbers are worked out once."""
        given = (tuple(pulls.tolist()), tuple(np.nan_to_num(means).tolist()), tuple(wanted.tolist()))
        return np.array(_shares(self, *given))


@lru_cache(maxsize=64)
def _shares(
    guard: VariantGuard, pulls: tuple[float, ...], means: tuple[float, ...], wanted: tuple[float, ...]
) -> tuple[float, ...]:
    known = _known(guard.variants, pulls, means)
    found = shares(known, dict(zip(guard.variants, wanted, strict=True)), guard.settings)
    return tuple(found.get(name, 0.0) for name in guard.variants)


def _known(
    variants: Sequence[str], pulls: Sequence[float], means: Sequence[float]
) -> dict[str, VariantStatistics]:
    rows = zip(variants, pulls, means, strict=True)
    return {name: VariantStatistics(round(n), n * mean if n else 0.0) for name, n, mean in rows}


def _limits(found: Standing, settings: GuardSettings) -> tuple[float, float]:
    if found is Standing.NEW:
        return 0.0, settings.new_most
    if found is Standing.UNCERTAIN:
        return settings.uncertain_least, settings.uncertain_most
    return 0.0, 1.0


def _scale(wanted: Mapping[str, float], limits: Mapping[str, tuple[float, float]], base: str) -> float:
    """The factor on the numbers wanted at which, each within its limits, they sum to 1."""

    def total(scale: float) -> float:
        return scale * wanted[base] + sum(_clipped(scale * wanted[name], limits[name]) for name in limits)

    low, high = 0.0, 1.0 / wanted[base]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if total(middle) < 1 else (low, middle)
    return low


def _clipped(share: float, limits: tuple[float, float]) -> float:
    return min(max(share, limits[0]), limits[1])
