"""The mel front end: what the audio encoder sees of a waveform."""

from typing import Self

import mlx.core as mx
import numpy as np
from ltx_core.errors import ShapeError
from ltx_core.types import Audio

from ltx_models.audio_vae.config import AudioVAEConfig
from ltx_models.audio_vae.mel import mel_filter_bank
from ltx_models.audio_vae.resampling import resample

FLOOR = 1e-5
"""Magnitudes below this count as silence; its logarithm is about -11.5."""


class AudioProcessor:
    """Waveform to log-mel: magnitude spectrum, periodic Hann window, centred frames, Slaney mel bands.

    Args:
        target_sample_rate: rate in Hz that other rates are converted to.
        mel_bins: mel bands from 0 Hz to half the rate.
        mel_hop_length: samples between frames.
        n_fft: samples of a frame and of its window.
    """

    def __init__(self, target_sample_rate: int, mel_bins: int, mel_hop_length: int, n_fft: int) -> None:
        self.target_sample_rate = target_sample_rate
        self.mel_hop_length = mel_hop_length
        self.n_fft = n_fft
        window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)
        self.window = mx.array(window.astype(np.float32))
        filters = mel_filter_bank(target_sample_rate, n_fft, mel_bins)
        self.mel_filters = mx.array(filters.astype(np.float32))

    @classmethod
    def from_config(cls, config: AudioVAEConfig) -> Self:
        """The front end that an audio VAE was trained with."""
        return cls(config.sample_rate, config.mel_bins, config.mel_hop_length, config.n_fft)

    def resample_audio(self, audio: Audio) -> Audio:
        """The same sound at `target_sample_rate`."""
        waveform = resample(audio.waveform, audio.sampling_rate, self.target_sample_rate)
        return Audio(waveform, self.target_sample_rate)

    def waveform_to_mel(self, audio: Audio) -> mx.array:
        """Natural logarithm of the mel magnitudes.

        Args:
            audio: waveform (channels, samples) or (B, channels, samples) in [-1, 1], at any rate.

        Returns:
            (B, channels, 1 + S // mel_hop_length, mel_bins) float32, S samples after resampling.

        Raises:
            ShapeError: for a waveform of other dimensions, or too short for the reflection at its ends.
        """
        waveform = self.resample_audio(audio).waveform.astype(mx.float32)
        if waveform.ndim == 2:
            waveform = waveform[None]
        reach = self.n_fft // 2
        if waveform.ndim != 3 or waveform.shape[-1] <= reach:
            raise ShapeError(
                f"the mel front end takes (B, channels, samples) with more than {reach} samples at "
                f"{self.target_sample_rate} Hz, got {waveform.shape}"
            )
        batch, channels, samples = waveform.shape
        left, right = waveform[..., reach:0:-1], waveform[..., -2 : -reach - 2 : -1]
        padded = mx.contiguous(mx.concatenate([left, waveform, right], axis=-1))
        count = 1 + samples // self.mel_hop_length
        length = padded.shape[-1]
        frames = mx.as_strided(
            padded,
            (batch, channels, count, self.n_fft),
            (channels * length, length, self.mel_hop_length, 1),
        )
        magnitude = mx.abs(mx.fft.rfft(frames * self.window))
        return mx.log(mx.maximum(magnitude @ self.mel_filters, FLOOR))
