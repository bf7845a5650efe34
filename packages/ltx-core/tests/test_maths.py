"""Small formulas and perturbations."""

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.maths import precise_std, precise_sum


def _normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), sigma=st.floats(0.01, 1.0))
def test_velocity_and_denoised_are_inverse(seed: int, sigma: float) -> None:
    sample, clean = _normal(seed, 2, 3, 4), _normal(seed + 1, 2, 3, 4)
    velocity = core.to_velocity(sample, sigma, clean)
    np.testing.assert_allclose(core.to_denoised(sample, velocity, sigma), clean, atol=1e-5)
    per_token = mx.full((2, 3, 1), sigma)
    np.testing.assert_allclose(core.to_denoised(sample, velocity, per_token), clean, atol=1e-5)


@pytest.mark.parametrize("sigma", [0, 0.0, mx.array(0.0)])
def test_there_is_no_velocity_at_sigma_0(sigma: float | mx.array) -> None:
    with pytest.raises(core.ConfigError, match="sigma 0"):
        core.to_velocity(mx.ones(2), sigma, mx.ones(2))


def test_dtype_of_the_sample_is_kept() -> None:
    sample = mx.ones((2,), mx.bfloat16)
    assert core.to_velocity(sample, 0.5, mx.zeros(2)).dtype == mx.bfloat16
    assert core.to_denoised(sample, mx.zeros(2), 0.5).dtype == mx.bfloat16


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), weight=st.floats(0, 1))
def test_lerp_is_exact_at_both_ends(seed: int, weight: float) -> None:
    a, b = 1e4 * _normal(seed, 5), 1e-4 * _normal(seed + 1, 5)
    for ends in (0.0, 1.0):
        wanted = b if ends else a
        assert mx.array_equal(core.lerp(a, b, ends), wanted)
        assert mx.array_equal(core.lerp(a, b, mx.full((5,), ends)), wanted)
    expected = np.array(a) * (1 - weight) + np.array(b) * weight
    np.testing.assert_allclose(core.lerp(a, b, weight), expected, rtol=1e-5, atol=1e-5)


def test_rms_norm() -> None:
    x = _normal(0, 3, 8)
    expected = np.array(x) / np.sqrt((np.array(x) ** 2).mean(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(core.rms_norm(x), expected, rtol=1e-5)
    np.testing.assert_allclose(core.rms_norm(x, mx.full((8,), 2.0)), 2 * expected, rtol=1e-5)


def test_a_config_value_is_checked_if_it_is_there() -> None:
    core.check_config_value({}, "norm", "rms")
    core.check_config_value({"norm": "rms"}, "norm", "rms")
    with pytest.raises(core.ConfigError, match=r"'norm' is 'layer'; supported: 'rms'"):
        core.check_config_value({"norm": "layer"}, "norm", "rms")


VIDEO, AUDIO = core.PerturbationType.SKIP_VIDEO_SELF_ATTN, core.PerturbationType.SKIP_AUDIO_SELF_ATTN


def test_perturbations_of_a_batch() -> None:
    config = core.BatchedPerturbationConfig(
        [
            core.PerturbationConfig.empty(),
            core.PerturbationConfig([core.Perturbation(VIDEO, [1])]),
            core.PerturbationConfig([core.Perturbation(VIDEO, None), core.Perturbation(AUDIO, [0])]),
        ]
    )
    assert config.mask(VIDEO, 0).flatten().tolist() == [1, 1, 0]
    assert config.mask(VIDEO, 1).flatten().tolist() == [1, 0, 0]
    assert config.mask(AUDIO, 1).flatten().tolist() == [1, 1, 1]
    assert config.mask(VIDEO, 1).shape == (3, 1, 1)
    assert config.mask(VIDEO, 1) is config.mask(VIDEO, 1)
    assert config.mask(VIDEO, 1, mx.bfloat16).dtype == mx.bfloat16
    assert config.any_in_batch(AUDIO, 0)
    assert not config.any_in_batch(AUDIO, 1)
    assert not config.all_in_batch(VIDEO, 1)
    assert config.batch_slice(1, 3).all_in_batch(VIDEO, 1)


def test_no_perturbation() -> None:
    assert not core.BatchedPerturbationConfig.empty(3).any_in_batch(VIDEO, 0)
    assert not core.PerturbationConfig(None).is_perturbed(VIDEO, 0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), rows=st.integers(1, 3), length=st.integers(2, 1500))
def test_precise_sums_are_sums_over_trailing_axes(seed: int, rows: int, length: int) -> None:
    x = _normal(seed, rows, length, 2)
    exact = np.array(x).astype(np.float64)
    for axis in (0, 1):
        axes = tuple(range(axis, 3))
        std = exact.std(axis=axes, ddof=1, keepdims=True)
        np.testing.assert_allclose(precise_sum(x, axis), exact.sum(axis=axes, keepdims=True), atol=1e-3)
        np.testing.assert_allclose(precise_std(x, axis), std, rtol=1e-5)


def test_standard_deviation_of_a_million_numbers() -> None:
    x = _normal(0, 1, 1000, 1024) + 0.5
    assert precise_std(x).item() == pytest.approx(np.array(x).astype(np.float64).std(ddof=1), rel=1e-6)
