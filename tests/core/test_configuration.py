"""A policy's configuration is data: it round-trips, names its errors and has an identity."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.policies.configuration import KINDS, MAPS, PolicyConfiguration

configurations = st.builds(
    PolicyConfiguration,
    kind=st.sampled_from(KINDS),
    map=st.sampled_from(MAPS),
    ridge=st.floats(1e-6, 1e6),
    alpha=st.floats(0, 10),
    gamma=st.floats(1e-3, 1e3),
    epsilon=st.floats(1e-6, 1),
    seed=st.integers(0, 2**63 - 1),
    half_life_s=st.none() | st.floats(1, 1e8),
)


@given(configurations)
def test_a_configuration_round_trips_through_json(configuration):
    restored = PolicyConfiguration.from_json(configuration.to_json())
    assert restored == configuration
    assert restored.identity() == configuration.identity()


def test_every_field_is_part_of_the_identity():
    default = PolicyConfiguration()
    changed = {"kind": "squarecb", "map": "linear", "widths": "all", "seed": 7, "half_life_s": 60.0}
    for field in fields(PolicyConfiguration):
        value = changed.get(field.name, getattr(default, field.name) or 1.0)
        value = value if field.name in changed else type(value)(value / 2)
        assert replace(default, **{field.name: value}).identity() != default.identity(), field.name


def test_naming_the_default_map_is_the_same_policy():
    assert PolicyConfiguration(map="fourier").identity() == PolicyConfiguration().identity()
    assert PolicyConfiguration(map="linear").identity(dynamic=True) == PolicyConfiguration().identity(
        dynamic=True
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "ucb1"),
        ("map", "cubic"),
        ("widths", "none"),
        ("ridge", 0.0),
        ("ridge", float("nan")),
        ("alpha", -1.0),
        ("gamma", float("inf")),
        ("epsilon", 0.0),
        ("floor", 1.5),
        ("reward_high", 0.0),
        ("reward_low", float("nan")),
        ("samples", 0),
        ("seed", -1),
        ("seed", 1.5),
        ("samples", True),
        ("alpha", "wide"),
        ("half_life_s", 0.0),
        ("half_life_s", "7d"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        PolicyConfiguration(**{field: value})


@pytest.mark.parametrize("text", ["[]", "{", '{"flavour": 1}'])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r"policy|JSON|Expecting"):
        PolicyConfiguration.from_json(text)
