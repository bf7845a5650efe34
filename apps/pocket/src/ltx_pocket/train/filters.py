"""The numbers of a vocoder that are not learnt but stored in its checkpoint: filters and Fourier bases."""

import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_models.audio_vae.mel import mel_filter_bank
from ltx_models.vocoder import VocoderWithBWE

BUFFERS = ["filter", "forward_basis", "mel_basis"]
"""Names of these parameters inside the network."""


def kaiser_sinc_filter(cutoff: float = 0.25, half_width: float = 0.3, size: int = 12) -> np.ndarray:
    """Low-pass filter of BigVGAN's activations (arXiv:2206.04658), (size,) float32 with the sum 1.

    Args:
        cutoff: as a part of the sampling rate.
        half_width: of the transition band, likewise.
        size: an even number of taps.
    """
    attenuation = 2.285 * (size // 2 - 1) * math.pi * 4 * half_width + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    else:
        beta = 0.5842 * max(0.0, attenuation - 21) ** 0.4 + 0.07886 * max(0.0, attenuation - 21)
    time = np.arange(size) - size / 2 + 0.5
    taps = 2 * cutoff * np.kaiser(size, beta) * np.sinc(2 * cutoff * time)
    return (taps / taps.sum()).astype(np.float32)


def fourier_basis(n_fft: int) -> np.ndarray:
    """Rows of cosines, then of negative sines, under a periodic Hann window: (2 (n_fft / 2 + 1), n_fft)."""
    time = np.arange(n_fft)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / n_fft)
    angle = 2 * np.pi * np.outer(np.arange(n_fft // 2 + 1), time) / n_fft
    return (np.concatenate([np.cos(angle), -np.sin(angle)]) * window).astype(np.float32)


def set_buffers(vocoder: VocoderWithBWE) -> None:
    """Give a network its filters and bases, and exclude them from training."""
    bwe = vocoder.bwe
    taps = mx.array(kaiser_sinc_filter())[None, None]

    def fill(_: str, module: nn.Module) -> None:
        if "filter" in module:
            module.filter = taps

    vocoder.apply_to_modules(fill)
    vocoder.mel_stft.stft_fn.forward_basis = mx.array(fourier_basis(bwe.n_fft))[:, None]
    bank = mel_filter_bank(bwe.input_sampling_rate, bwe.n_fft, bwe.generator.mel_bins)
    vocoder.mel_stft.mel_basis = mx.array(bank.T.astype(np.float32))
    vocoder.freeze(keys=BUFFERS)
