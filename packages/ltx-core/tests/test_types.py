"""Shape arithmetic and the data classes."""

import ltx_core as core
import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

small = st.integers(1, 40)


@settings(max_examples=50, deadline=None)
@given(batch=small, frames=small, height=small, width=small, time=st.integers(1, 8), space=st.integers(1, 32))
def test_a_clip_on_the_grid_survives_the_round_trip(
    batch: int, frames: int, height: int, width: int, time: int, space: int
) -> None:
    factors = core.SpatioTemporalScaleFactors(time, space, space)
    pixels = core.VideoPixelShape(batch, (frames - 1) * time + 1, height * space, width * space, 24.0)
    latent = core.VideoLatentShape.from_pixel_shape(pixels, scale_factors=factors)
    assert latent == (batch, 128, frames, height, width)
    assert latent.upscale(factors) == (batch, 3, *pixels[1:4])
    assert latent.token_count() == frames * height * width
    assert latent.mask_shape() == (batch, 1, frames, height, width)
    assert core.VideoLatentShape.from_shape(latent.to_shape()) == latent


@settings(max_examples=50, deadline=None)
@given(frames=st.integers(1, 300), height=st.integers(32, 300), width=st.integers(32, 300))
def test_sizes_off_the_grid_are_rounded_down(frames: int, height: int, width: int) -> None:
    latent = core.VideoLatentShape.from_pixel_shape(core.VideoPixelShape(1, frames, height, width, 24.0))
    clip = latent.upscale()
    assert clip.frames <= frames < clip.frames + 8
    assert clip.height <= height < clip.height + 32
    assert clip.width <= width < clip.width + 32


@settings(max_examples=50, deadline=None)
@given(frames=st.integers(1, 500), fps=st.floats(8, 60))
def test_audio_is_as_long_as_the_clip(frames: int, fps: float) -> None:
    audio = core.AudioLatentShape.from_video_pixel_shape(core.VideoPixelShape(2, frames, 64, 64, fps))
    assert abs(audio.frames / 25 - frames / fps) <= 0.5 / 25 + 1e-9
    assert core.AudioLatentShape.from_shape(audio.to_shape()) == audio
    assert audio.mask_shape() == (2, 1, audio.frames, 1)


@pytest.mark.parametrize(("seconds", "frames"), [(0.1, 2), (0.14, 4), (0.18, 4), (0.22, 6)])
def test_audio_frames_are_rounded_half_to_even(seconds: float, frames: int) -> None:
    assert core.AudioLatentShape.from_duration(1, seconds).frames == frames


def test_the_published_default_size() -> None:
    clip = core.VideoPixelShape(1, 121, 512, 768, 24.0)
    assert core.VideoLatentShape.from_pixel_shape(clip) == (1, 128, 16, 16, 24)
    assert core.AudioLatentShape.from_video_pixel_shape(clip) == (1, 8, 126, 16)


@pytest.mark.parametrize("shape", [(1, 2, 3, 4), (1, 2, 3, 4, 5, 6)])
def test_a_video_latent_has_five_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(core.ShapeError, match="5 axes"):
        core.VideoLatentShape.from_shape(shape)


def test_an_audio_latent_has_four_axes() -> None:
    with pytest.raises(core.ShapeError, match="4 axes"):
        core.AudioLatentShape.from_shape((1, 2, 3))


def test_states_are_replaced_not_changed() -> None:
    latent = mx.ones((1, 2, 3))
    state = core.LatentState(latent, mx.ones((1, 2, 1)), mx.zeros((1, 1, 2, 2)), latent)
    changed = state.replace(latent=mx.zeros((1, 2, 3)))
    assert state.latent is latent
    assert changed.positions is state.positions
    assert changed != state


def test_every_error_is_an_ltx_error() -> None:
    for error in (core.ConfigError, core.ShapeError, core.ConditioningError):
        assert issubclass(error, core.LTXError)
        assert issubclass(error, ValueError)
