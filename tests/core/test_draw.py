"""A draw follows its probabilities and can be recomputed by anybody."""

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.draw import draw, uniform


def test_the_uniform_number_is_the_top_53_bits_of_the_documented_digest():
    digest = blake2b(b"d-1\0greeter\x007", digest_size=8).digest()
    assert uniform("d-1", "greeter", 7) == (int.from_bytes(digest, "big") >> 11) / 2**53


def test_decision_policy_and_version_each_change_the_draw():
    values = {uniform("d", "p", 1), uniform("e", "p", 1), uniform("d", "q", 1), uniform("d", "p", 2)}
    assert len(values) == 4


def test_draws_over_many_decisions_match_the_probabilities():
    probabilities, n = [0.5, 0.3, 0.15, 0.05], 20_000
    drawn = np.bincount([draw(probabilities, uniform(f"d{i}", "p", 1)) for i in range(n)], minlength=4)
    expected = n * np.array(probabilities)
    assert ((drawn - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 degrees of freedom, p = 0.001


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20).filter(lambda p: sum(p) > 1e-3),
    st.floats(0, 1, exclude_max=True),
)
def test_the_index_is_the_inverse_of_the_cumulative_distribution(weights, u):
    probabilities = np.array(weights) / np.sum(weights)
    chosen = draw(probabilities, u)
    assert probabilities[chosen] > 0
    assert probabilities[:chosen].sum() <= u + 1e-12
    assert u < probabilities[: chosen + 1].sum() + 1e-12


def test_rounding_below_one_never_selects_an_impossible_action():
    assert draw([0.5, 0.4999999999, 0.0], 0.99999999999) == 1


def test_a_distribution_without_mass_is_refused():
    with pytest.raises(ValueError, match="above zero"):
        draw([0.0, 0.0], 0.5)
