"""The mel filter bank, Slaney's variant."""

import numpy as np

# Slaney's Auditory Toolbox: linear below 1 kHz, then logarithmic with 27 steps per factor of 6.4.
HZ_PER_MEL = 200.0 / 3.0
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27.0


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Frequencies in Hz on Slaney's mel scale."""
    above = BREAK_MEL + np.log(np.maximum(hz, BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return np.where(hz < BREAK_HZ, hz / HZ_PER_MEL, above)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    above = BREAK_HZ * np.exp(LOG_STEP * (np.maximum(mel, BREAK_MEL) - BREAK_MEL))
    return np.where(mel < BREAK_MEL, mel * HZ_PER_MEL, above)


def mel_filter_bank(sample_rate: int, n_fft: int, mel_bins: int) -> np.ndarray:
    """Triangular filters from 0 Hz to half the sample rate, each of the same area (Slaney's norm).

    Returns:
        (n_fft // 2 + 1, mel_bins) float64: magnitudes @ filters = mel bands.
    """
    bins = np.linspace(0.0, sample_rate // 2, n_fft // 2 + 1)
    limits = hz_to_mel(np.array([0.0, sample_rate / 2.0]))
    edges = mel_to_hz(np.linspace(limits[0], limits[1], mel_bins + 2))
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    result: np.ndarray = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    return result
