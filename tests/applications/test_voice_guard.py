"""The voice assistant's statistics and guard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.applications.voice_assistant.guard import (
    GuardSettings,
    Standing,
    blacklisted,
    shares,
    standing,
)
from shared.applications.voice_assistant.statistics import (
    VariantStatistics,
    exploration_rate,
    statistics,
)

SETTINGS = GuardSettings()
NAMES = ["v1a", "v1b", "v1c", "v1d", "v2a", "v2b", "v2c", "v2d"]


def of(pulls: int, mean: float) -> VariantStatistics:
    return VariantStatistics(pulls, mean * pulls)


def test_statistics_are_those_of_each_variant_s_rewards() -> None:
    found = statistics(["v1a", "v1b", "v1a"], np.array([1.0, -0.5, 0.5]))
    assert found == {"v1a": VariantStatistics(2, 1.5), "v1b": VariantStatistics(1, -0.5)}
    assert found["v1a"].mean == 0.75
    assert (found["v1a"].alpha, found["v1a"].beta) == (2.75, 1.25)
    assert VariantStatistics().mean == 0


def test_confidence_starts_at_ten_pulls_and_grows() -> None:
    assert of(9, 0.5).confidence() == 0
    levels = [of(pulls, 0.5).confidence() for pulls in (20, 100, 1000, 10**6)]
    assert levels == sorted(levels)
    assert 0 < levels[0] < 0.6 < levels[2] < levels[3] < 1
    assert of(5, 0.5).confidence(min_pulls=5) == of(5, 0.5).confidence(min_pulls=1)


def test_exploration_is_what_the_best_does_not_get() -> None:
    known = {"v1a": of(50, 0.1), "v1b": of(50, 0.9)}
    assert exploration_rate(known, {"v1a": 0.25, "v1b": 0.75}) == 0.25
    assert exploration_rate({}, {}) == 0


@pytest.mark.parametrize(
    ("variant", "pulls", "mean", "expected"),
    [
        ("v1a", 1000, -1.0, Standing.BASE),
        ("v1b", 20, -0.21, Standing.BLACKLISTED),
        ("v1b", 20, -0.2, Standing.UNCERTAIN),
        ("v1b", 19, -1.0, Standing.NEW),
        ("v1b", 0, 0.0, Standing.NEW),
        ("v1b", 20, 0.5, Standing.UNCERTAIN),
        ("v1b", 1000, 0.5, Standing.PROVEN),
    ],
)
def test_standing_at_the_limits(variant: str, pulls: int, mean: float, expected: Standing) -> None:
    assert standing(variant, {variant: of(pulls, mean)}, SETTINGS) is expected


def test_proven_variants_get_what_is_wanted() -> None:
    known = {name: of(1000, 0.5) for name in ("v1a", "v1b", "v1c")}
    wanted = {"v1a": 0.2, "v1b": 0.5, "v1c": 0.3}
    assert shares(known, wanted, SETTINGS) == pytest.approx(wanted)


def test_the_base_takes_what_new_variants_may_not_have() -> None:
    assert shares({}, {"v1a": 0.01, "v1b": 0.5, "v1c": 0.49}, SETTINGS) == pytest.approx(
        {"v1a": 0.8, "v1b": 0.1, "v1c": 0.1}
    )


def test_uncertain_variants_keep_between_a_twentieth_and_a_fifth() -> None:
    known = {"v1b": of(30, 0.2), "v1c": of(30, 0.2)}
    found = shares(known, {"v1a": 0.3, "v1b": 0.699, "v1c": 0.001}, SETTINGS)
    assert found == pytest.approx({"v1a": 0.75, "v1b": 0.2, "v1c": 0.05})


def test_blacklisted_and_banned_variants_get_nothing() -> None:
    known = {"v1b": of(30, -0.5), "v1c": of(1000, 0.9)}
    wanted = dict.fromkeys(["v1a", "v1b", "v1c"], 1.0)
    assert shares(known, wanted, SETTINGS).keys() == {"v1a", "v1c"}
    assert shares(known, wanted, SETTINGS, frozenset({"v1c"})) == {"v1a": 1.0}


@pytest.mark.parametrize("wanted", [{"v1b": 1.0}, {"v1a": 0.0, "v1b": 1.0}, {"v1a": 1.0, "v1b": -1.0}])
def test_what_cannot_be_shared_is_refused(wanted: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="v1"):
        shares({}, wanted, SETTINGS)


known_statistics = st.fixed_dictionaries(
    {name: st.builds(of, st.integers(0, 300), st.floats(-1, 1)) for name in NAMES}
)


@given(known=known_statistics, wanted=st.fixed_dictionaries({name: st.floats(1e-6, 1) for name in NAMES}))
def test_shares_keep_every_limit(known: dict[str, VariantStatistics], wanted: dict[str, float]) -> None:
    found = shares(known, wanted, SETTINGS)
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    assert "v1a" in found
    assert len(found) <= 6
    limits = {Standing.NEW: (0, 0.1), Standing.UNCERTAIN: (0.05, 0.2), Standing.PROVEN: (0, 1)}
    for name, share in found.items():
        assert share > 0
        if name != "v1a":
            low, high = limits[standing(name, known, SETTINGS)]
            assert low <= share <= high
    left_out = [name for name in NAMES[1:] if name not in found and name not in blacklisted(known, SETTINGS)]
    assert not left_out or min(wanted[name] for name in found if name != "v1a") >= max(
        wanted[name] for name in left_out
    )
