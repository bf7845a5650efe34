"""Latents to tokens and back, and where tokens lie."""

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

size = st.integers(1, 4)


def _normal(*shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(0))


@settings(max_examples=50, deadline=None)
@given(batch=st.integers(1, 2), channels=size, frames=size, rows=size, columns=size, patch=st.integers(1, 3))
def test_video_tokens_round_trip(
    batch: int, channels: int, frames: int, rows: int, columns: int, patch: int
) -> None:
    latent = _normal(batch, channels, frames, rows * patch, columns * patch)
    shape = core.VideoLatentShape.from_shape(latent.shape)
    patchifier = core.VideoLatentPatchifier(patch)
    tokens = patchifier.patchify(latent)
    count = frames * rows * columns
    assert tokens.shape == (batch, count, channels * patch * patch)
    assert patchifier.get_token_count(shape) == count
    assert patchifier.patch_size == (1, patch, patch)
    assert mx.array_equal(patchifier.unpatchify(tokens, shape), latent)
    bounds = np.array(patchifier.get_patch_grid_bounds(shape))
    assert bounds.shape == (batch, 3, count, 2)
    assert (bounds[..., 1] - bounds[..., 0] == np.array([1, patch, patch]).reshape(3, 1)).all()
    # Every token holds the latent's values within its bounds.
    for index in range(count):
        (t0, t1), (h0, h1), (w0, w1) = bounds[0, :, index]
        block = np.array(latent)[0, :, t0:t1, h0:h1, w0:w1]
        assert (np.array(tokens)[0, index] == block.reshape(-1)).all()


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 2), channels=size, frames=st.integers(1, 9), bins=size)
def test_audio_tokens_round_trip(batch: int, channels: int, frames: int, bins: int) -> None:
    latent = _normal(batch, channels, frames, bins)
    shape = core.AudioLatentShape.from_shape(latent.shape)
    patchifier = core.AudioPatchifier(1)
    tokens = patchifier.patchify(latent)
    assert tokens.shape == (batch, frames, channels * bins)
    assert patchifier.get_token_count(shape) == frames
    assert mx.array_equal(patchifier.unpatchify(tokens, shape), latent)
    assert patchifier.patch_size == (1, 1, 1)


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 12), fps=st.sampled_from([24.0, 25.0, 29.97]))
def test_causal_video_positions_cover_time_without_gaps(frames: int, fps: float) -> None:
    shape = core.VideoLatentShape(1, 1, frames, 1, 1)
    bounds = core.VideoLatentPatchifier(1).get_patch_grid_bounds(shape)
    pixels = core.get_pixel_coords(bounds, core.VIDEO_SCALE_FACTORS, causal_fix=True)
    seconds = np.array(core.to_positions(pixels, fps))[0, 0]
    assert seconds.dtype == np.float32
    assert seconds[0, 0] == 0
    assert seconds[0, 1] == pytest.approx(1 / fps)
    assert (seconds[1:, 0] == seconds[:-1, 1]).all()
    assert seconds[-1, 1] == pytest.approx((8 * frames - 7) / fps)


def test_pixel_coordinates_without_the_fix() -> None:
    bounds = core.VideoLatentPatchifier(1).get_patch_grid_bounds(core.VideoLatentShape(1, 1, 2, 2, 1))
    factors = core.SpatioTemporalScaleFactors(4, 10, 20)
    pixels = core.get_pixel_coords(bounds, factors)
    assert pixels.dtype == mx.int32
    assert pixels[0, :, -1].tolist() == [[4, 8], [10, 20], [0, 20]]


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 30), shift=st.integers(0, 20))
def test_a_shifted_window_has_the_positions_of_the_whole(frames: int, shift: int) -> None:
    whole = core.AudioPatchifier(1).get_patch_grid_bounds(core.AudioLatentShape(1, 1, frames + shift, 1))
    window = core.AudioPatchifier(1, shift=shift).get_patch_grid_bounds(
        core.AudioLatentShape(1, 1, frames, 1)
    )
    assert mx.array_equal(window, whole[:, :, shift:])


def test_audio_positions() -> None:
    shape = core.AudioLatentShape(2, 8, 3, 16)
    causal = core.AudioPatchifier(16).get_patch_grid_bounds(shape)
    np.testing.assert_allclose(causal[1, 0], [[0, 0.01], [0.01, 0.05], [0.05, 0.09]], rtol=1e-6)
    plain = core.AudioPatchifier(16, is_causal=False).get_patch_grid_bounds(shape)
    np.testing.assert_allclose(plain[1, 0], [[0, 0.04], [0.04, 0.08], [0.08, 0.12]], rtol=1e-6)


def test_errors() -> None:
    video, audio = core.VideoLatentPatchifier(2), core.AudioPatchifier(1)
    with pytest.raises(core.ShapeError, match="5 axes"):
        video.patchify(_normal(1, 2, 3))
    with pytest.raises(core.ShapeError, match="patches of 2 x 2"):
        video.patchify(_normal(1, 2, 1, 3, 4))
    with pytest.raises(core.ShapeError, match="do not fill"):
        video.unpatchify(_normal(1, 3, 8), core.VideoLatentShape(1, 2, 1, 4, 4))
    with pytest.raises(core.ShapeError, match="cannot be cut"):
        video.get_patch_grid_bounds(core.VideoLatentShape(1, 2, 0, 4, 4))
    with pytest.raises(core.ShapeError, match="4 axes"):
        audio.patchify(_normal(1, 2, 3))
    with pytest.raises(core.ShapeError, match="do not fill"):
        audio.unpatchify(_normal(1, 3, 8), core.AudioLatentShape(1, 2, 4, 4))
    with pytest.raises(core.ShapeError, match="at least one frame"):
        audio.get_patch_grid_bounds(core.AudioLatentShape(1, 2, 0, 4))
