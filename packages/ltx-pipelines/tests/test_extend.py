"""Extending: which part of a clip the model sees, and how the made part is joined to it."""

import json

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core import VIDEO_SCALE_FACTORS, Audio, ConfigError, VideoPixelShape
from ltx_core.conditioning import VideoConditionByKeyframeIndex
from ltx_core.noisers import GaussianNoiser
from ltx_pipelines import ExtendConfig, VideoInput
from ltx_pipelines.extension import Window
from ltx_pipelines.layout import LatentLayout

LAYOUT = LatentLayout(4, 2, 3, VIDEO_SCALE_FACTORS, 16000, 160, min_size=32)


def clip(frames: int, audio: bool = True) -> VideoInput:
    sound = Audio(mx.zeros((2, 8000 * frames // 16)), 8000) if audio else None
    return VideoInput(np.zeros((frames, 64, 96, 3), np.uint8), frame_rate=16.0, audio=sound)


def config(frames: int = 20, **changes: object) -> ExtendConfig:
    values: dict[str, object] = {"prompt": "x", "source": clip(frames), "new_frames": 8, **changes}
    return ExtendConfig(**values)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 150), st.integers(1, 8), st.integers(0, 15))
def test_the_model_sees_as_much_as_there_is_or_finds_room(available: int, new: int, room: int) -> None:
    asked = config(available, new_frames=8 * new, num_frames=8 * (new + room) + 1)
    kept = asked.window.kept
    assert (asked.height, asked.width, asked.frame_rate) == (64, 96, 16.0)
    assert kept % 8 == 1
    assert kept <= available
    assert asked.num_frames == kept + 8 * new
    assert kept + 8 > min(available, 8 * room + 1)


def test_settings_are_plain_and_silence_stays_silent() -> None:
    asked = config()
    assert json.loads(json.dumps(asked.settings()))["new_frames"] == 8
    assert asked.generate_audio
    assert not config(source=clip(20, audio=False)).generate_audio


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"new_frames": 12}, "new_frames 12 is not a multiple of 8 from 8 to 120"),
        ({"new_frames": 0}, "new_frames 0"),
        ({"new_frames": 48, "num_frames": 33}, "from 8 to 32.*Extend several times"),
        ({"num_frames": 32}, "num_frames 32 is not 8 k"),
        ({"overlap_frames": 16}, r"overlap_frames 16 .*from 0 to 8: the model sees 17 frames"),
        ({"overlap_frames": 4}, "overlap_frames 4"),
        ({"overlap_frames": 8, "frames": 9}, "from 0 to 0"),
        ({"height": 80}, "height 80"),
    ],
)
def test_bad_configs(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)  # type: ignore[arg-type]


windows = st.builds(
    lambda groups, new, overlap, before: Window(
        8 * groups + 1, 8 * new, 8 * min(overlap, groups - 1), before, 16.0
    ),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 2),
    st.booleans(),
)


@settings(max_examples=50, deadline=None)
@given(windows)
def test_latents_that_are_kept_stand_where_their_frames_are(window: Window) -> None:
    """Every latent frame of the window lies over the pixel frames that it was encoded from."""
    groups = window.kept // 8
    latent = mx.arange(1, groups + 2).astype(mx.float32).reshape(1, 1, -1, 1, 1) * mx.ones((1, 4, 1, 2, 3))
    tools = LAYOUT.video_tools(VideoPixelShape(1, window.kept + window.new, 64, 96, 16.0))
    spec = window.picture(latent)
    state = spec.state(tools, GaussianNoiser(lambda like: mx.full(like.shape, -1.0)))
    first = window.new if window.before else 0  # pixel frame of the window where the source begins
    spans = np.array(state.positions[0, 0]) * 16
    held = np.array(state.denoise_mask)[0, :, 0] == 0
    clean = np.array(state.latent)[0, :, 0]
    for (start, end), value in zip(spans[held], clean[held], strict=True):
        source = round(value) - 1  # index in the source's latent
        wanted = (0, 1) if source == 0 else (8 * source - 7, 8 * source + 1)
        assert (start - first, end - first) == pytest.approx(wanted)
    free = np.array(state.denoise_mask)[0, :, 0] == 1
    assert (clean[free] == -1).all()
    overlap = window.overlap // 8
    appended = window.before and not overlap
    assert any(isinstance(item, VideoConditionByKeyframeIndex) for item in spec.items) == appended
    kept = groups - overlap + (0 if window.before and overlap else 1)
    assert held.sum() == 6 * kept
    assert free.sum() == 6 * (window.new // 8 + window.before)


@settings(max_examples=50, deadline=None)
@given(windows, st.integers(0, 30), st.sampled_from([8000, 11025, 16000]), st.integers(-400, 400))
def test_the_source_stays_as_it_is(window: Window, more: int, rate: int, surplus: int) -> None:
    """In frames and samples, but for the overlap; the result is as long as both together."""
    rng = np.random.default_rng(more)
    count = window.kept + more
    frames = rng.integers(0, 256, (count, 2, 2, 3), np.uint8)
    made = rng.integers(0, 256, (window.kept + window.new, 2, 2, 3), np.uint8)
    joined = window.join_frames(frames, made)
    assert joined.shape == (count + window.new, 2, 2, 3)
    assert joined.dtype == np.uint8
    length = round(count / 16 * rate)
    waveform = rng.standard_normal((2, max(length + surplus, 0))).astype(np.float32)
    decoded = rng.standard_normal((2, round(len(made) / 16 * 8000) - 20)).astype(np.float32)
    sound = window.join_sound(Audio(mx.array(waveform), rate), Audio(mx.array(decoded), 8000), count)
    samples = np.array(sound.waveform)
    assert sound.sampling_rate == rate
    assert abs(samples.shape[1] - (count + window.new) / 16 * rate) <= 2
    heard = np.pad(waveform[:, :length], ((0, 0), (0, max(length - waveform.shape[1], 0))))
    overlap = round(window.overlap / 16 * rate)
    if window.before:
        np.testing.assert_array_equal(joined[window.new + window.overlap :], frames[window.overlap :])
        np.testing.assert_array_equal(joined[: window.new], made[: window.new])
        np.testing.assert_array_equal(samples[:, samples.shape[1] - length + overlap :], heard[:, overlap:])
    else:
        np.testing.assert_array_equal(joined[: count - window.overlap], frames[: count - window.overlap])
        np.testing.assert_array_equal(joined[count:], made[window.kept :])
        np.testing.assert_array_equal(samples[:, : length - overlap], heard[:, : length - overlap])


@pytest.mark.parametrize("before", [False, True])
def test_the_seam_has_no_jump(before: bool) -> None:
    window = Window(9, 8, 0, before, 16.0)
    source = Audio(mx.full((2, 4500), 0.5), 8000)
    joined = np.array(window.join_sound(source, Audio(mx.full((2, 8500), -0.5), 8000), 9).waveform)
    steps = np.abs(np.diff(joined))
    assert joined.min() == -0.5
    assert joined.max() == 0.5
    assert steps.max() <= 1 / 40 + 1e-6


@settings(max_examples=20, deadline=None)
@given(windows)
def test_what_is_encoded_of_the_sound_lies_where_the_source_is(window: Window) -> None:
    count = window.kept + 3
    wave = np.arange(count * 500, dtype=np.float32)
    heard = np.array(window.heard(Audio(mx.array(np.stack([wave, wave])), 8000), count).waveform)
    kept = window.kept * 500
    if window.before:
        assert heard.shape == (2, kept + window.new * 500)
        np.testing.assert_array_equal(heard[0, window.new * 500 :], wave[:kept])
        assert heard[0, window.new * 500 - 1] == wave[0]
    else:
        np.testing.assert_array_equal(heard[1], wave[-kept:])
