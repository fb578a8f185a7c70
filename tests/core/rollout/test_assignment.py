"""Assignment: sticky, nested, of the right size, and independent between rollouts."""

from hashlib import blake2b

import pytest

from shared.core.rollout.assignment import is_canary, position

KEY = b"a secret of the deployer"
SUBJECTS = [f"subject-{n}" for n in range(20_000)]


def test_a_subject_stays_where_it_is_and_the_tenth_are_among_the_half():
    tenth = {each for each in SUBJECTS if is_canary(each, 0.1, "r-1", KEY)}
    half = {each for each in SUBJECTS if is_canary(each, 0.5, "r-1", KEY)}
    assert tenth < half
    assert tenth == {each for each in SUBJECTS if is_canary(each, 0.1, "r-1", KEY)}
    assert len(tenth) == pytest.approx(2000, abs=4 * (20_000 * 0.09) ** 0.5)
    assert len(half) == pytest.approx(10_000, abs=4 * (20_000 * 0.25) ** 0.5)


def test_nobody_at_zero_and_everybody_at_one():
    assert not any(is_canary(each, 0.0, "r-1", KEY) for each in SUBJECTS[:1000])
    assert all(is_canary(each, 1.0, "r-1", KEY) for each in SUBJECTS[:1000])


@pytest.mark.parametrize("other", [("r-2", KEY), ("r-1", b"another key")])
def test_another_rollout_or_key_draws_anew(other):
    tenth = {each for each in SUBJECTS if is_canary(each, 0.1, "r-1", KEY)}
    again = {each for each in tenth if is_canary(each, 0.1, *other)}
    assert len(again) == pytest.approx(0.1 * len(tenth), abs=4 * (len(tenth) * 0.09) ** 0.5)


def test_the_place_is_the_documented_digest():
    digest = blake2b("r-1\0Jörg".encode(), digest_size=8, key=KEY).digest()
    assert position("Jörg", "r-1", KEY) == (int.from_bytes(digest, "big") >> 11) / 2**53


@pytest.mark.parametrize("key", [b"", b"x" * 65])
def test_a_wrong_key_is_named(key):
    with pytest.raises(ValueError, match=f"key has {len(key)} bytes"):
        position("s", "r", key)
