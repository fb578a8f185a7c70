"""Scaling and feature maps: safe on odd features, the same in every process, of the documented form."""

import numpy as np
import pytest

from shared.core.features.maps import FeatureMap, feature_count, feature_map
from shared.core.features.scaling import LIMIT, Scaling
from shared.core.noise import normals, uniforms
from shared.core.policies.configuration import PolicyConfiguration

RAW = np.random.default_rng(5).normal(3.0, [1.0, 10.0, 0.1, 5.0], size=(400, 4)).astype(np.float32)
SCALING = Scaling.fit(RAW)


def mapped(kind: str, raw: np.ndarray = RAW, action_width: int = 0, **hyper: object) -> np.ndarray:
    configuration = PolicyConfiguration(map=kind, **hyper)
    return FeatureMap(configuration, raw.shape[1] - action_width, action_width, SCALING)(raw)


def test_standardised_features_have_mean_zero_and_deviation_one():
    z = SCALING.apply(RAW)
    assert np.allclose(z.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(z.std(axis=0), 1, atol=1e-2)


def test_a_feature_that_was_constant_cannot_rule_the_others_later():
    rows = RAW.copy()
    rows[:, 2] = 7.0
    scaling = Scaling.fit(rows)
    rows[0, 2] = 1e9
    z = scaling.apply(rows)
    assert np.isfinite(z).all()
    assert np.abs(z).max() <= LIMIT


@pytest.mark.parametrize("raw", [np.zeros((5, 3)), RAW[:1], np.full((3, 2), 1e30, np.float32)])
def test_constant_rows_give_a_finite_scaling_above_zero(raw):
    scaling = Scaling.fit(raw)
    assert (scaling.scale > 0).all()
    assert np.array_equal(scaling.apply(raw), np.zeros(raw.shape))


def test_scaling_round_trips_to_the_bit():
    assert Scaling.from_json(SCALING.to_json()) == SCALING


@pytest.mark.parametrize("data", [{"mean": [1.0], "scale": [0.0]}, {"mean": [1.0], "scale": [1.0, 2.0]}])
def test_a_broken_scaling_is_refused(data):
    with pytest.raises(ValueError, match="scal"):
        Scaling.from_json(data)


def test_linear_is_the_standardised_context_and_one():
    features = mapped("linear")
    assert np.allclose(features[:, :4], SCALING.apply(RAW) / 2)
    assert (features[:, 4] == 1).all()
    assert features.shape == (400, 5)


def test_quadratic_adds_every_product_once():
    features = mapped("quadratic")
    z = features[:, :4]
    products = [z[:, i] * z[:, j] for i in range(4) for j in range(i, 4)]
    assert np.allclose(features[:, 5:], np.stack(products, axis=1))


def test_fourier_features_approximate_the_mean_of_a_coarse_and_a_fine_gaussian_kernel():
    features = mapped("fourier", fourier_features=20_000, fourier_scale=2.0)
    z = features[:100, :4]
    squared = ((z[:, None] - z[None]) ** 2).sum(axis=2)
    approximate = features[:100, 5:] @ features[:100, 5:].T
    assert np.abs(approximate - (np.exp(-0.5 * squared) + np.exp(-2.0 * squared)) / 2).max() < 0.05


def test_fourier_features_depend_on_the_seed_alone():
    assert np.array_equal(mapped("fourier", seed=3), mapped("fourier", seed=3))
    assert not np.array_equal(mapped("fourier", seed=3), mapped("fourier", seed=4))


def test_noise_is_pinned():
    assert normals(3, 3).tolist() == pytest.approx(
        [-0.27322703026783884, 0.6820286911794222, 0.24759011393440436], abs=1e-12
    )
    assert uniforms(3, 2).tolist() == pytest.approx([0.9342820204007575, 0.0791614801320869], abs=1e-12)
    assert abs(normals(1, 100_000).mean()) < 0.02
    assert abs(normals(1, 100_000).std() - 1) < 0.02


def test_features_of_actions_meet_every_feature_of_the_context():
    features = mapped("linear", action_width=1)
    x, a = features[:, :3], features[:, 3:4]
    assert np.allclose(a[:, 0], SCALING.apply(RAW)[:, 3])
    assert np.allclose(features[:, 5:], x * a)


@pytest.mark.parametrize("kind", ["linear", "quadratic", "fourier", "default"])
@pytest.mark.parametrize("action_width", [0, 2])
def test_the_announced_number_of_features_is_the_real_one(kind, action_width):
    configuration = PolicyConfiguration(map=kind)
    assert (
        feature_count(configuration, 4 - action_width, action_width)
        == mapped(kind, RAW, action_width).shape[1]
    )


def test_one_row_maps_as_it_does_among_others():
    for kind in ("linear", "quadratic", "fourier"):
        assert np.allclose(mapped(kind)[7], mapped(kind, RAW[7:8])[0], rtol=0, atol=1e-12)


def test_contexts_of_another_width_are_refused():
    with pytest.raises(ValueError, match="wanted"):
        FeatureMap(PolicyConfiguration(), 3, 0, Scaling.fit(RAW[:, :3]))(RAW)


def test_a_map_that_standardises_waits_for_its_scaling():
    assert feature_map(PolicyConfiguration(), 4, 0, None) is None
    counts = feature_map(PolicyConfiguration(kind="thompson_beta"), 4, 0, None)
    assert counts is not None
    assert (counts(RAW) == 1).all()
