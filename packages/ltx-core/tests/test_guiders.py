"""Guiders: neutral scales, known values, batches."""

import math

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

shapes = st.sampled_from([(1, 6, 4), (2, 3, 5), (1, 3, 2, 4, 2), (3, 2, 1, 2, 2)])
seeds = st.integers(0, 2**31)


def _normal(seed: int, shape: tuple[int, ...]) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


NEUTRAL = [
    core.CFGGuider(1.0),
    core.CFGStarRescalingGuider(1.0),
    core.STGGuider(0.0),
    core.LtxAPGGuider(1.0, eta=0.3, norm_threshold=2.0),
    core.LegacyStatefulAPGGuider(0.0, eta=0.5),
]
ACTIVE = [
    core.CFGGuider(3.0),
    core.CFGStarRescalingGuider(3.0),
    core.STGGuider(1.0),
    core.LtxAPGGuider(3.0, eta=0.3, norm_threshold=2.0),
    core.LegacyStatefulAPGGuider(3.0, eta=0.5),
]


@settings(max_examples=20, deadline=None)
@given(seed=seeds, shape=shapes)
def test_at_its_neutral_scale_a_guider_is_the_identity(seed: int, shape: tuple[int, ...]) -> None:
    cond, uncond = _normal(seed, shape), _normal(seed + 1, shape)
    for guider in NEUTRAL:
        assert not guider.enabled()
        assert mx.array_equal(cond + guider.delta(cond, uncond), cond)


@pytest.mark.parametrize("guider", ACTIVE, ids=lambda guider: type(guider).__name__)
def test_equal_predictions_leave_nothing_to_guide(guider: core.GuiderProtocol) -> None:
    cond = _normal(0, (1, 6, 4))
    assert guider.enabled()
    np.testing.assert_allclose(guider.delta(cond, cond), 0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, shape=st.sampled_from([(2, 3, 5), (3, 2, 1, 2, 2)]))
def test_samples_of_a_batch_do_not_influence_each_other(seed: int, shape: tuple[int, ...]) -> None:
    cond, uncond = _normal(seed, shape), _normal(seed + 1, shape)
    for guider in ACTIVE:
        together = guider.delta(cond, uncond)
        apart = [guider.delta(cond[i : i + 1], uncond[i : i + 1]) for i in range(shape[0])]
        np.testing.assert_allclose(together, mx.concatenate(apart), rtol=1e-4, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_apg_without_its_parallel_part_is_orthogonal(seed: int) -> None:
    cond, uncond = _normal(seed, (2, 6, 4)), _normal(seed + 1, (2, 6, 4))
    delta = core.LtxAPGGuider(4.0, eta=0.0).delta(cond, uncond)
    np.testing.assert_allclose(core.projection_coef(delta, cond), 0, atol=1e-5)
    whole = core.LtxAPGGuider(4.0, eta=1.0).delta(cond, uncond)
    np.testing.assert_allclose(whole, core.CFGGuider(4.0).delta(cond, uncond), rtol=1e-4, atol=1e-5)


def test_apg_limits_the_norm() -> None:
    cond, uncond = _normal(0, (1, 6, 4)), _normal(1, (1, 6, 4))
    delta = core.LtxAPGGuider(2.0, eta=1.0, norm_threshold=0.5).delta(cond, uncond)
    assert mx.linalg.norm(delta).item() == pytest.approx(0.5, rel=1e-5)


def test_the_legacy_guider_averages_over_the_steps() -> None:
    cond, uncond = _normal(0, (1, 6, 4)), _normal(1, (1, 6, 4))
    guider = core.LegacyStatefulAPGGuider(1.0, eta=1.0, norm_threshold=0.0, momentum=0.5)
    first, second = guider.delta(cond, uncond), guider.delta(cond, uncond)
    np.testing.assert_allclose(second, 1.5 * first, rtol=1e-4, atol=1e-5)


def _guide(params: core.MultiModalGuiderParams, *predictions: mx.array | float) -> mx.array:
    return core.MultiModalGuider(params).calculate(*predictions)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, shape=shapes, rescale=st.floats(0, 1))
def test_neutral_multimodal_guidance(seed: int, shape: tuple[int, ...], rescale: float) -> None:
    cond = _normal(seed, shape)
    guided = _guide(core.MultiModalGuiderParams(rescale_scale=rescale), cond, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(guided, cond, rtol=1e-6)


def test_multimodal_guidance_adds_up() -> None:
    cond, text, perturbed, isolated = (_normal(seed, (1, 6, 4)) for seed in range(4))
    params = core.MultiModalGuiderParams(cfg_scale=3.0, stg_scale=0.5, modality_scale=2.0)
    expected = cond + 2 * (cond - text) + 0.5 * (cond - perturbed) + (cond - isolated)
    np.testing.assert_allclose(_guide(params, cond, text, perturbed, isolated), expected, rtol=1e-5)


def test_full_rescaling_restores_the_standard_deviation() -> None:
    cond, text = _normal(0, (1, 6, 4)), _normal(1, (1, 6, 4))
    guided = _guide(core.MultiModalGuiderParams(cfg_scale=5.0, rescale_scale=1.0), cond, text, 0.0, 0.0)
    assert mx.std(guided, ddof=1).item() == pytest.approx(mx.std(cond, ddof=1).item(), rel=1e-5)


def test_guidance_keeps_the_dtype() -> None:
    cond = _normal(0, (1, 6, 4)).astype(mx.bfloat16)
    assert _guide(core.MultiModalGuiderParams(cfg_scale=2.0), cond, 0.5 * cond, 0.0, 0.0).dtype == mx.bfloat16


def test_which_predictions_are_needed() -> None:
    neutral = core.MultiModalGuider(core.MultiModalGuiderParams())
    assert not neutral.do_unconditional_generation()
    assert not neutral.do_perturbed_generation()
    assert not neutral.do_isolated_modality_generation()
    active = core.MultiModalGuider(core.MultiModalGuiderParams(cfg_scale=2, stg_scale=1, modality_scale=3))
    assert active.do_unconditional_generation()
    assert active.do_perturbed_generation()
    assert active.do_isolated_modality_generation()


@settings(max_examples=20, deadline=None)
@given(skip=st.integers(0, 5), step=st.integers(0, 50))
def test_every_nth_step_is_computed(skip: int, step: int) -> None:
    guider = core.MultiModalGuider(core.MultiModalGuiderParams(skip_step=skip))
    assert guider.should_skip_step(step) == (step % (skip + 1) > 0)


def test_parameters_by_sigma() -> None:
    weak, strong = core.MultiModalGuiderParams(cfg_scale=2), core.MultiModalGuiderParams(cfg_scale=5)
    negative = mx.zeros((1, 2, 3))
    factory = core.MultiModalGuiderFactory.from_dict({0.5: weak, 0.9: strong}, negative)
    for sigma, params in ((1.0, strong), (0.9, strong), (0.51, strong), (0.5, weak), (0.0, weak)):
        assert factory.params(sigma) is params
        assert factory.build_from_sigma(sigma).params is params
    assert factory.build_from_sigma(0.1).negative_context is negative
    assert core.MultiModalGuiderFactory.constant(weak).params(math.pi) is weak


def test_a_factory_from_either() -> None:
    params, negative = core.MultiModalGuiderParams(cfg_scale=2), mx.zeros((1, 2, 3))
    made = core.create_multimodal_guider_factory(params, negative)
    assert made.params(0.3) is params
    assert core.create_multimodal_guider_factory(made) is made
    other = mx.ones((1, 2, 3))
    assert core.create_multimodal_guider_factory(made, other).negative_context is other


def test_a_factory_needs_an_entry() -> None:
    with pytest.raises(core.ConfigError, match="at least one"):
        core.MultiModalGuiderFactory.from_dict({})
