"""Single steps of the samplers, against their equations."""

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.res2s import refine_anchor

seeds = st.integers(0, 2**31)
levels = st.floats(0.02, 1.0)


def _normal(seed: int) -> mx.array:
    return mx.random.normal((2, 5, 3), key=mx.random.key(seed))


@settings(max_examples=30, deadline=None)
@given(seed=seeds, sigma=levels, ratio=st.floats(0, 0.99))
def test_deterministic_steps_follow_a_straight_flow_exactly(seed: int, sigma: float, ratio: float) -> None:
    clean, noise = _normal(seed), _normal(seed + 1)
    target = sigma * ratio
    sample = (1 - sigma) * clean + sigma * noise
    expected = (1 - target) * clean + target * noise
    sigmas = [1.0, sigma, target]
    for step in (
        core.EulerDiffusionStep(),
        core.HeunDiffusionStep(),
        core.EulerAncestralDiffusionStep(eta=0),
    ):
        np.testing.assert_allclose(step.step(sample, clean, sigmas, 1), expected, atol=2e-5)
    if target > 0.01:
        heun = core.HeunDiffusionStep()
        predicted = heun.step(sample, clean, sigmas, 1)
        corrected = heun.correct(sample, clean, predicted, clean, sigmas, 1)
        np.testing.assert_allclose(corrected, expected, atol=2e-5)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, sigma=levels, ratio=st.floats(0.01, 0.99))
def test_ancestral_with_eta_0_is_euler(seed: int, sigma: float, ratio: float) -> None:
    sample, denoised = _normal(seed), _normal(seed + 1)
    sigmas = mx.array([sigma, sigma * ratio])
    euler = core.EulerDiffusionStep().step(sample, denoised, sigmas, 0)
    ancestral = core.EulerAncestralDiffusionStep(eta=0.0).step(sample, denoised, sigmas, 0)
    np.testing.assert_allclose(ancestral, euler, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(sigma=levels, ratio=st.floats(0.01, 0.99), eta=st.floats(0.01, 1.0))
def test_ancestral_noise_restores_the_level(sigma: float, ratio: float, eta: float) -> None:
    # A flow of pure noise around 0: what is left of the sample's noise and the fresh noise must add up to the
    # variance of the next level, and the signal must have the weight 1 - sigma.
    target = sigma * ratio
    step = core.EulerAncestralDiffusionStep(eta=eta)
    zero, one = mx.zeros((1,)), mx.ones((1,))
    old = step.step(sigma * one, zero, [sigma, target], 0, noise=zero).item()
    fresh = step.step(zero, zero, [sigma, target], 0, noise=one).item()
    signal = step.step((1 - sigma) * one, one, [sigma, target], 0, noise=zero).item()
    assert old**2 + fresh**2 == pytest.approx(target**2, rel=1e-4)
    assert signal == pytest.approx(1 - target, rel=1e-4)


def test_an_ancestral_step_to_0_returns_the_prediction_without_noise() -> None:
    sample, denoised = _normal(0), _normal(1)
    assert mx.array_equal(core.EulerAncestralDiffusionStep().step(sample, denoised, [0.5, 0.0], 0), denoised)


def test_an_ancestral_step_needs_noise() -> None:
    with pytest.raises(core.ConfigError, match="noise"):
        core.EulerAncestralDiffusionStep().step(_normal(0), _normal(1), [0.5, 0.2], 0)


@pytest.mark.parametrize("step", [core.EulerDiffusionStep(), core.HeunDiffusionStep()])
def test_no_step_starts_at_0(step: core.EulerDiffusionStep) -> None:
    with pytest.raises(core.ConfigError, match="sigma 0"):
        step.step(_normal(0), _normal(1), [0.0, 0.0], 0)


def test_heun_does_not_correct_at_0() -> None:
    x = _normal(0)
    with pytest.raises(core.ConfigError, match="sigma 0"):
        core.HeunDiffusionStep().correct(x, x, x, x, [0.5, 0.0], 0)


@pytest.mark.parametrize(
    "step", [core.EulerDiffusionStep(), core.EulerAncestralDiffusionStep(), core.Res2sDiffusionStep()]
)
def test_steps_keep_the_dtype(step: core.DiffusionStepProtocol) -> None:
    sample, denoised = _normal(0).astype(mx.bfloat16), _normal(1).astype(mx.bfloat16)
    assert step.step(sample, denoised, [0.5, 0.2], 0, noise=_normal(2)).dtype == mx.bfloat16


@settings(max_examples=30, deadline=None)
@given(sigma=st.floats(0.05, 0.99), ratio=st.floats(0.05, 0.99), eta=st.floats(0.05, 0.95))
def test_res2s_noise_restores_the_level(sigma: float, ratio: float, eta: float) -> None:
    target = sigma * ratio
    step = core.Res2sDiffusionStep()
    one, zero = mx.ones((1,)), mx.zeros((1,))
    old = step.step(sigma * one, target * one, [sigma, target], 0, zero, eta).item()
    fresh = step.step(zero, zero, [sigma, target], 0, one, eta).item()
    signal = step.step((1 - sigma) * one, (1 - target) * one, [sigma, target], 0, zero, eta).item()
    assert fresh == pytest.approx(eta * target, rel=1e-4)
    assert old**2 + fresh**2 == pytest.approx(target**2, rel=1e-3)
    assert signal == pytest.approx(1 - target, rel=1e-3)


def test_res2s_per_token() -> None:
    start, end, noise = _normal(0), _normal(1), _normal(2)
    mask = np.array([1, 0.5, 1, 0.25, 1]).reshape(1, 5, 1)
    step = core.Res2sDiffusionStep()
    together = step.step(start, end, [0.8 * mask, 0.5 * mask], 0, noise)
    for token, share in enumerate(mask.flatten()):
        alone = step.step(start[:, token], end[:, token], [0.8 * share, 0.5 * share], 0, noise[:, token])
        np.testing.assert_allclose(together[:, token], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("pair", "eta"),
    [([0.5, 0.0], 0.5), ([0.5, 0.2], 0.0), ([0.5, 0.5], 0.5), ([np.ones(3), np.eye(3)[0]], 0.5)],
)
def test_res2s_without_noise_is_the_deterministic_step(pair: list[float | np.ndarray], eta: float) -> None:
    end = _normal(1)
    assert core.Res2sDiffusionStep().step(_normal(0), end, pair, 0, _normal(2), eta) is end


def test_sde_coefficients_agree_both_ways() -> None:
    coefficients = core.Res2sDiffusionStep.get_sde_coeff
    up = coefficients(0.5, sigma_up=0.25)
    np.testing.assert_allclose(coefficients(0.5, sigma_down=up[1]), up)
    np.testing.assert_allclose(coefficients(0.5), (1, 0.5, 0))
    np.testing.assert_allclose(coefficients(0.5, sigma_up=2.0)[2], 0.49995)


@settings(max_examples=50, deadline=None)
@given(j=st.integers(1, 3), z=st.floats(-5, 5))
def test_phi_obeys_its_recurrence(j: int, z: float) -> None:
    # phi_j(z) = z phi_(j+1)(z) + 1 / j!
    factorial = (1, 1, 2, 6)[j]
    assert core.phi(j, z) == pytest.approx(z * core.phi(j + 1, z) + 1 / factorial, rel=1e-9, abs=1e-11)


def test_phi_at_0() -> None:
    assert [core.phi(j, 0.0) for j in (1, 2, 3)] == pytest.approx([1, 1 / 2, 1 / 6])


@settings(max_examples=30, deadline=None)
@given(h=st.floats(1e-6, 5))
def test_res2s_weights_sum_to_one_step(h: float) -> None:
    _, b1, b2 = core.get_res2s_coefficients(h)
    assert h * (b1 + b2) == pytest.approx(-np.expm1(-h), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(q=st.floats(0, 0.9), rounds=st.integers(0, 100), start=st.floats(-2, 2))
def test_anchor_refinement_in_closed_form(q: float, rounds: int, start: float) -> None:
    middle, clean = 0.7, -0.4
    anchor = start
    for _ in range(rounds):
        anchor = middle - q * (clean - anchor)
    keep, move = refine_anchor(q, rounds)
    assert keep * start + move * (middle - q * clean) == pytest.approx(anchor, abs=1e-9)
