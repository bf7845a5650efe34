"""The mel front end and the resampler."""

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ShapeError
from ltx_core.types import Audio
from ltx_models.audio_vae import AudioProcessor, AudioVAEConfig, resample
from ltx_models.audio_vae.mel import hz_to_mel, mel_filter_bank, mel_to_hz

RATES = st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000])
PROCESSOR = AudioProcessor(16000, 64, 160, 1024)


def sine(frequency: float, rate: int, samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(samples) / rate)


def test_log_mel_of_a_sine() -> None:
    """Numbers of the reference for 0.5 sin(2 pi 440 t), one second."""
    audio = Audio(mx.array(0.5 * sine(440, 16000, 16000), mx.float32)[None], 16000)
    mel = np.array(PROCESSOR.waveform_to_mel(audio))
    assert mel.shape == (1, 1, 101, 64)
    assert mel[0, 0, 50].argmax() == 8
    expected = [-5.56544, -3.48206, 1.08576, 0.97987, -3.50169]
    np.testing.assert_allclose(mel[0, 0, 50, 6:11], expected, atol=5e-4)
    np.testing.assert_allclose(mel[0, 0, 0, :4], [-0.98210, -0.94700, -0.88606, -0.79339], atol=5e-4)


def test_filter_bank() -> None:
    """Numbers of the reference for 64 bands up to 8 kHz."""
    filters = mel_filter_bank(16000, 1024, 64)
    assert filters.shape == (513, 64)
    assert filters.max() == pytest.approx(0.02133115, rel=1e-5)
    assert filters.sum() == pytest.approx(4.09588, rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(hz=st.floats(0.0, 24000.0))
def test_mel_scale_inverts(hz: float) -> None:
    assert mel_to_hz(hz_to_mel(np.array(hz))) == pytest.approx(hz, rel=1e-9, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(samples=st.integers(513, 2000), channels=st.integers(1, 3))
def test_log_mel_against_float64(samples: int, channels: int) -> None:
    """Against NumPy: reflected ends, periodic Hann window, magnitudes."""
    waveform = np.random.default_rng(samples).normal(0, 0.3, (channels, samples))
    padded = np.pad(waveform, [(0, 0), (512, 512)], mode="reflect")
    frames = np.stack([padded[:, i : i + 1024] for i in range(0, samples + 1, 160)], axis=1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    mel = np.abs(np.fft.rfft(frames * window)) @ mel_filter_bank(16000, 1024, 64)
    got = PROCESSOR.waveform_to_mel(Audio(mx.array(waveform, mx.float32), 16000))
    assert got.shape == (1, channels, 1 + samples // 160, 64)
    np.testing.assert_allclose(np.array(got)[0], np.log(np.maximum(mel, 1e-5)), atol=1e-3)


def test_silence_is_the_floor() -> None:
    mel = PROCESSOR.waveform_to_mel(Audio(mx.zeros((2, 1600)), 16000))
    np.testing.assert_allclose(np.array(mel), np.log(1e-5), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 512), (1600,), (1, 1, 1, 1600)])
def test_front_end_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="mel front end takes"):
        PROCESSOR.waveform_to_mel(Audio(mx.zeros(shape), 16000))


def test_front_end_follows_the_config() -> None:
    network = {"mel_bins": 32, "mid_block_add_attention": False}
    config = AudioVAEConfig.from_config(
        {
            "model": {"params": {"ddconfig": network, "sampling_rate": 8000}},
            "preprocessing": {"stft": {"filter_length": 256, "hop_length": 64}},
        }
    )
    mel = AudioProcessor.from_config(config).waveform_to_mel(Audio(mx.zeros((1, 640)), 8000))
    assert mel.shape == (1, 1, 11, 32)


@settings(max_examples=25, deadline=None)
@given(original=RATES, target=RATES, frequency=st.floats(100.0, 2500.0), phase=st.floats(0.0, 6.0))
def test_resampling_keeps_a_sine(original: int, target: int, frequency: float, phase: float) -> None:
    """Frequency, amplitude and phase stay, away from the ends, below the lower Nyquist frequency."""
    seconds = 0.1
    before = np.sin(2 * np.pi * frequency * np.arange(int(seconds * original)) / original + phase)
    after = np.array(resample(mx.array(before, mx.float32), original, target))
    expected = np.sin(2 * np.pi * frequency * np.arange(after.size) / target + phase)
    edge = target // 500
    np.testing.assert_allclose(after[edge:-edge], expected[edge:-edge], atol=0.01)


@settings(max_examples=40, deadline=None)
@given(original=RATES, target=RATES, samples=st.integers(1, 700))
def test_resampled_length(original: int, target: int, samples: int) -> None:
    waveform = mx.ones((2, samples))
    assert resample(waveform, original, target).shape == (2, -(-samples * target // original))


def test_equal_rates_are_the_identity() -> None:
    waveform = mx.random.normal((2, 3, 50))
    assert resample(waveform, 44100, 44100) is waveform


@settings(max_examples=20, deadline=None)
@given(original=RATES, target=RATES)
def test_resampling_is_linear_and_channels_do_not_mix(original: int, target: int) -> None:
    x = mx.random.normal((2, 300), key=mx.random.key(original))
    both = np.array(resample(x, original, target))
    np.testing.assert_allclose(both[1], np.array(resample(x[1], original, target)), atol=1e-6)
    np.testing.assert_allclose(np.array(resample(3.0 * x, original, target)), 3.0 * both, atol=1e-5)


def test_resampling_refuses_a_rate_of_zero() -> None:
    with pytest.raises(ShapeError, match="positive"):
        resample(mx.zeros(10), 0, 16000)
