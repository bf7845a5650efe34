"""Resampling filters in polyphase form, and the activation that runs between two of them.

A signal at `ratio` times the rate is kept as its phases: `ratio` arrays (B, L, C), phase p holding samples p,
p + ratio, ... Every filter is then a sum of shifted slices: no zeros are inserted, nothing is multiplied by
them, and no grouped convolution is needed.
"""

import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_core.device import compiled

RATIO = 2
"""Oversampling of the anti-aliased activation."""

KERNEL_SIZE = 12
"""Taps of its two filters, which come with the checkpoint."""


def hann_sinc_filter(ratio: int, rolloff: float = 0.99, lowpass_filter_width: int = 6) -> np.ndarray:
    """Taps for upsampling by `ratio` as torchaudio's `resample` does it, (2 * width * ratio + 1,) float32.

    A sinc with its zeros at the lower rate (times `rolloff`) under a Hann window that ends at its sixth zero.
    """
    width = math.ceil(lowpass_filter_width / rolloff)
    time = (np.arange(2 * width * ratio + 1) / ratio - width) * rolloff
    window = np.cos(np.clip(time / lowpass_filter_width, -1.0, 1.0) * np.pi / 2) ** 2
    result: np.ndarray = (np.sinc(time) * window * rolloff / ratio).astype(np.float32)
    return result


def _replicate(x: mx.array, before: int, after: int) -> mx.array:
    """(B, L, C) with its first and last samples repeated."""
    batch, _, channels = x.shape
    first = mx.broadcast_to(x[:, :1], (batch, before, channels))
    last = mx.broadcast_to(x[:, -1:], (batch, after, channels))
    return mx.concatenate([first, x, last], axis=1)


def upsample_phases(x: mx.array, taps: mx.array, ratio: int) -> list[mx.array]:
    """Interpolation to `ratio` times the rate.

    Output sample n is ratio * sum over i of x[i] * taps[n + delay - ratio * i]: zeros inserted between the
    samples, then the filter, aligned on its middle. Beyond its ends x is replicated.

    Args:
        x: (B, L, C).
        taps: (K,), symmetric.
        ratio: phases.

    Returns:
        The phases, each (B, L, C).
    """
    length, size = x.shape[1], taps.shape[0]
    delay = (size - 1) // 2 if size % 2 else (size - ratio) // 2
    before = (size - 1 - delay) // ratio
    after = (delay + ratio - 1) // ratio
    x = _replicate(x, before, after)
    phases = []
    for phase in range(ratio):
        newest, first = divmod(delay + phase, ratio)
        total = None
        for back, tap in enumerate(range(first, size, ratio)):
            start = before + newest - back
            term = x[:, start : start + length] * (ratio * taps[tap])
            total = term if total is None else total + term
        assert total is not None
        phases.append(total)
    return phases


def downsample_phases(phases: list[mx.array], taps: mx.array) -> mx.array:
    """Low-pass filter and decimation to the phases' own rate, the ends replicated.

    Args:
        phases: (B, L, C) each.
        taps: (K,), an even number.

    Returns:
        (B, L, C): output q is sum over k of taps[k] * y[ratio * q + k - (K // 2 - 1)].
    """
    ratio, (batch, length, channels) = len(phases), phases[0].shape
    reach = taps.shape[0] // 2
    margin = -(-reach // ratio)
    first = mx.broadcast_to(phases[0][:, :1], (batch, margin, channels))
    last = mx.broadcast_to(phases[-1][:, -1:], (batch, margin, channels))
    padded = [mx.concatenate([first, phase, last], axis=1) for phase in phases]
    total = mx.zeros((), phases[0].dtype)
    for tap in range(taps.shape[0]):
        shift, phase = divmod(tap - reach + 1, ratio)
        start = margin + shift
        total = total + padded[phase][:, start : start + length] * taps[tap]
    return total


@compiled
def _filtered_snake(x: mx.array, alpha: mx.array, beta: mx.array, up: mx.array, down: mx.array) -> mx.array:
    frequency, amount = mx.exp(alpha), 1.0 / (mx.exp(beta) + 1e-9)
    phases = [
        phase + amount * mx.square(mx.sin(phase * frequency)) for phase in upsample_phases(x, up, RATIO)
    ]
    return downsample_phases(phases, down)


class SnakeBeta(nn.Module):
    """Parameters of x + sin^2(e^alpha x) / e^beta, one pair per channel (BigVGAN, arXiv:2206.04658)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = mx.zeros(channels)
        self.beta = mx.zeros(channels)


class UpSample1d(nn.Module):
    """Holds the interpolation filter of an activation, (1, 1, 12) as the checkpoint has it."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = mx.zeros((1, 1, KERNEL_SIZE))


class LowPassFilter1d(nn.Module):
    """Holds the decimation filter of an activation, (1, 1, 12) as the checkpoint has it."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = mx.zeros((1, 1, KERNEL_SIZE))


class DownSample1d(nn.Module):
    """The decimation filter under the name that the checkpoint has for it."""

    def __init__(self) -> None:
        super().__init__()
        self.lowpass = LowPassFilter1d()


class Activation1d(nn.Module):
    """Snake at twice the rate, so that the harmonics it makes do not alias (BigVGAN, arXiv:2206.04658)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)
        self.upsample = UpSample1d()
        self.downsample = DownSample1d()

    def __call__(self, x: mx.array) -> mx.array:
        """(B, L, C) -> (B, L, C)."""
        up, down = self.upsample.filter.reshape(-1), self.downsample.lowpass.filter.reshape(-1)
        return _filtered_snake(x, self.act.alpha, self.act.beta, up, down)
