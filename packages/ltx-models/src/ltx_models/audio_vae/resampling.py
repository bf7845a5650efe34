"""Change of sampling rate with a windowed sinc, as torchaudio's `resample` does by default."""

import math
from functools import lru_cache

import mlx.core as mx
import numpy as np
from ltx_core.errors import ShapeError

LOWPASS_FILTER_WIDTH = 6
ROLLOFF = 0.99


@lru_cache(maxsize=16)
def sinc_kernels(original: int, target: int) -> tuple[np.ndarray, int]:
    """Filters for a rate change in lowest terms, and how far they reach to the left.

    Each of the `target` output samples that fall into one period of `original` input samples has its own
    filter: a sinc with its zeros at the lower of both rates (times ROLLOFF), under a Hann window that ends at
    the sixth zero.

    Returns:
        kernels (target, original + 2 * width) float32, and the width.
    """
    cutoff = min(original, target) * ROLLOFF
    width = math.ceil(LOWPASS_FILTER_WIDTH * original / cutoff)
    # float32 throughout, as torchaudio has it: its rounding of t, magnified by the cutoff, moves the filters
    # by up to 1e-5, and it is what the network was trained behind.
    inputs = np.arange(-width, width + original, dtype=np.float32) / np.float32(original)
    outputs = np.arange(0, -target, -1, dtype=np.float32)[:, None] / np.float32(target)
    t = np.clip((outputs + inputs) * np.float32(cutoff), -LOWPASS_FILTER_WIDTH, LOWPASS_FILTER_WIDTH)
    window = np.cos(t * np.float32(math.pi) / LOWPASS_FILTER_WIDTH / 2) ** 2
    angle = t * np.float32(math.pi)
    sinc = np.where(angle == 0, np.float32(1), np.sin(angle) / np.where(angle == 0, np.float32(1), angle))
    return sinc * (window * np.float32(cutoff / original)), width


def resample(waveform: mx.array, original_rate: int, target_rate: int) -> mx.array:
    """A waveform at another sampling rate.

    Args:
        waveform: (..., samples).
        original_rate: its rate in Hz.
        target_rate: the rate wanted.

    Returns:
        (..., ceil(samples * target_rate / original_rate)) float32; the waveform as it is at equal rates.

    Raises:
        ShapeError: for a rate that is not positive.
    """
    if original_rate <= 0 or target_rate <= 0:
        raise ShapeError(f"sampling rates must be positive, got {original_rate} and {target_rate}")
    if original_rate == target_rate:
        return waveform
    common = math.gcd(original_rate, target_rate)
    original, target = original_rate // common, target_rate // common
    kernels, width = sinc_kernels(original, target)
    *lead, samples = waveform.shape
    x = waveform.reshape(-1, samples, 1).astype(mx.float32)
    x = mx.pad(x, [(0, 0), (width, width + original), (0, 0)])
    # One filter per output sample of a period, all at the stride of a period.
    y = mx.conv1d(x, mx.array(kernels)[:, :, None], stride=original)
    return y.reshape(*lead, -1)[..., : -(-samples * target // original)]
