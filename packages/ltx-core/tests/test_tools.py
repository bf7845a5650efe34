"""Making and unmaking states, and the noise that enters them."""

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

VIDEO = core.VideoLatentTools(core.VideoLatentPatchifier(1), core.VideoLatentShape(2, 3, 3, 2, 2), fps=24.0)
AUDIO = core.AudioLatentTools(core.AudioPatchifier(4), core.AudioLatentShape(2, 3, 5, 4))
TOOLS = [VIDEO, AUDIO]


def _normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


@pytest.mark.parametrize("tools", TOOLS)
def test_a_state_round_trips(tools: core.LatentTools) -> None:
    latent = _normal(0, *tools.target_shape.to_shape())
    state = tools.create_initial_state(initial_latent=latent)
    assert state.latent.shape[:2] == (2, tools.num_tokens)
    assert mx.array_equal(state.latent, state.clean_latent)
    assert mx.all(state.denoise_mask == 1)
    assert state.positions.dtype == mx.float32
    assert state.positions.shape[2] == tools.num_tokens
    back = tools.unpatchify(state)
    assert mx.array_equal(back.latent, latent)
    assert back.denoise_mask.shape == tools.target_shape.mask_shape().to_shape()
    assert mx.array_equal(tools.patchify(back).latent, state.latent)


@pytest.mark.parametrize("tools", TOOLS)
def test_an_empty_state_has_the_wanted_dtype(tools: core.LatentTools) -> None:
    state = tools.create_initial_state(mx.bfloat16)
    assert state.latent.dtype == state.clean_latent.dtype == mx.bfloat16
    assert state.denoise_mask.dtype == state.positions.dtype == mx.float32
    assert not mx.any(state.latent)


def test_the_first_video_frame_is_marked() -> None:
    marks = VIDEO.create_initial_state().keyframes_mask
    assert marks is not None
    assert marks.shape == (2, 12, 1)
    assert marks[0].flatten().tolist() == [1] * 4 + [0] * 8
    assert AUDIO.create_initial_state().keyframes_mask is None


@pytest.mark.parametrize("tools", TOOLS)
def test_a_latent_of_another_shape_is_refused(tools: core.LatentTools) -> None:
    with pytest.raises(core.ShapeError, match="target shape"):
        tools.create_initial_state(initial_latent=mx.zeros((1, *tools.target_shape.to_shape()[1:])))
    state = tools.create_initial_state()
    with pytest.raises(core.ShapeError, match="do not fill"):
        tools.unpatchify(state.replace(latent=state.latent[:, 1:]))


seeds = st.integers(0, 2**31)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, scale=st.floats(0, 1))
def test_noise_enters_by_scale_and_mask(seed: int, scale: float) -> None:
    latent, clean, noise = (_normal(seed + i, 2, 6, 3) for i in range(3))
    mask = mx.array([0, 0.25, 1, 1, 0.5, 0]).reshape(1, 6, 1) * mx.ones((2, 1, 1))
    state = core.LatentState(latent, mask, mx.zeros((2, 1, 6, 2)), clean)
    noisy = core.GaussianNoiser(lambda like: noise)(state, scale)
    level = latent + scale * (noise - latent)
    np.testing.assert_allclose(noisy.latent, clean * (1 - mask) + level * mask, rtol=1e-4, atol=1e-5)
    assert mx.array_equal(noisy.latent[:, 0], clean[:, 0])
    assert noisy.clean_latent is clean


def test_a_noiser_keeps_the_dtype() -> None:
    state = VIDEO.create_initial_state(mx.bfloat16)
    assert core.GaussianNoiser(core.RandomNoise(0))(state).latent.dtype == mx.bfloat16


def test_random_noise_is_decided_by_its_key_and_the_order_of_draws() -> None:
    like = mx.zeros((1, 50, 40))
    first, again, other = core.RandomNoise(1), core.RandomNoise(mx.random.key(1)), core.RandomNoise(2)
    draws = [first(like), first(like)]
    assert mx.array_equal(draws[0], again(like))
    assert mx.array_equal(draws[1], again(like))
    assert not mx.array_equal(draws[0], draws[1])
    assert not mx.array_equal(draws[0], other(like))
    assert abs(mx.mean(draws[0]).item()) < 0.1
    assert mx.std(draws[0]).item() == pytest.approx(1, abs=0.05)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, scale=st.floats(0.1, 10))
def test_standardized_noise_has_exact_moments(seed: int, scale: float) -> None:
    draw = core.standardized(lambda like: scale * core.RandomNoise(seed)(like) + 3)
    noise = draw(mx.zeros((2, 7, 5)))
    np.testing.assert_allclose(mx.mean(noise, axis=(-2, -1)), 0, atol=1e-5)
    np.testing.assert_allclose(mx.std(noise, axis=(-2, -1), ddof=1), 1, rtol=1e-4)


def test_a_noised_state_is_made_in_order() -> None:
    image = mx.full((2, 3, 1, 2, 2), 7.0)
    item = core.VideoConditionByLatentIndex(image, 1.0, 0)
    state = core.create_noised_state(VIDEO, [item], core.GaussianNoiser(mx.ones_like))
    assert mx.all(state.latent[:, :4] == 7)
    assert mx.all(state.latent[:, 4:] == 1)
    assert not state.frozen


def test_a_frozen_state_is_kept() -> None:
    latent = _normal(0, *AUDIO.target_shape.to_shape())
    noiser = core.GaussianNoiser(core.RandomNoise(0))
    state = core.create_noised_state(AUDIO, [], noiser, noise_scale=0.0, initial_latent=latent, frozen=True)
    assert state.frozen
    assert not mx.any(state.denoise_mask)
    assert mx.array_equal(AUDIO.patchifier.unpatchify(state.latent, AUDIO.target_shape), latent)
