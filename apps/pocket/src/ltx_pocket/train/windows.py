"""Filters and convolutions of waves as matrix products of overlapping windows.

MLX's own one-dimensional convolutions, and above all their gradients, are slow on GPUs, and a filter that is
a sum of shifted slices is dozens of operations. One copy and one product are two.
"""

from functools import cache
from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import mlx.nn as nn
from ltx_models.vocoder import VocoderWithBWE
from ltx_models.vocoder.bandwidth import STFT
from ltx_models.vocoder.convolution import Conv1d, ConvTranspose1d


def windows(x: mx.array, count: int, size: int, *, hop: int = 1, dilation: int = 1) -> mx.array:
    """(B, T, C) -> (B, count, size, C): samples `dilation` apart, windows `hop` apart. What x lacks is 0."""
    missing = (count - 1) * hop + (size - 1) * dilation + 1 - x.shape[1]
    if missing > 0:
        x = mx.pad(x, [(0, 0), (0, missing), (0, 0)])
    batch, length, channels = x.shape
    strides = (length * channels, hop * channels, dilation * channels, 1)
    return mx.contiguous(mx.as_strided(x, (batch, count, size, channels), strides))


def filtered(x: mx.array, matrix: mx.array, hop: int, length: int) -> mx.array:
    """A filter that is the same in every chunk: (B, T, C) to (B, length, C).

    Args:
        matrix: (samples that a chunk gives, samples that it sees).
        hop: samples of x from one chunk to the next.
    """
    given, seen = matrix.shape
    out = matrix @ windows(x, -(-length // given), seen, hop=hop)
    return out.reshape(x.shape[0], -1, x.shape[2])[:, :length]


@cache
def _convolution(padding: int, dilation: int) -> Any:
    """A convolution of (B, L, I) with (O, K, I), stride 1."""

    def unfold(x: mx.array, taps: int, zeros: int) -> mx.array:
        x = mx.pad(x, [(0, 0), (zeros, zeros), (0, 0)])
        return windows(x, x.shape[1] - dilation * (taps - 1), taps, dilation=dilation).flatten(2)

    @mx.custom_function
    def convolution(x: mx.array, weight: mx.array) -> mx.array:
        return unfold(x, weight.shape[1], padding) @ weight.flatten(1).T

    @convolution.vjp
    def gradients(
        primals: tuple[mx.array, mx.array], cotangent: mx.array, _: mx.array
    ) -> tuple[mx.array, mx.array]:
        x, weight = primals
        taps = weight.shape[1]
        seen = unfold(x, taps, padding).flatten(0, 1)
        change = (cotangent.flatten(0, 1).T @ seen).reshape(weight.shape)
        turned = weight[:, ::-1].transpose(1, 0, 2).flatten(0, 1)
        return unfold(cotangent, taps, dilation * (taps - 1) - padding) @ turned, change

    return convolution


def convolve(x: mx.array, weight: mx.array, padding: int, dilation: int = 1) -> mx.array:
    """Convolution with stride 1 of (B, L, I) with (O, K, I), zeros at both ends."""
    result: mx.array = _convolution(padding, dilation)(x, weight)
    return result


class TrainedConv1d(Conv1d):
    """The same convolution."""

    def __call__(self, x: mx.array) -> mx.array:
        y = convolve(x, self.weight, self.padding, self.dilation)
        return y + self.bias if "bias" in self else y


class TrainedConvTranspose1d(ConvTranspose1d):
    """The same transposed convolution: an output of `rate` channels for each, interleaved."""

    def __call__(self, x: mx.array) -> mx.array:
        out_channels, kernel, in_channels = self.weight.shape
        rate, batch, length = self.stride, x.shape[0], x.shape[1]
        taps = -(-kernel // rate)
        weight = mx.pad(self.weight, [(0, 0), (0, taps * rate - kernel), (0, 0)])
        weight = weight.reshape(out_channels, taps, rate, in_channels)[:, ::-1]
        weight = weight.transpose(2, 0, 1, 3).reshape(rate * out_channels, taps, in_channels)
        y = convolve(x, weight, taps - 1).reshape(batch, -1, out_channels)
        return y[:, self.padding : (length - 1) * rate + kernel - self.padding] + self.bias


class TrainedSTFT(STFT):
    """The same magnitudes."""

    def __call__(self, waveform: mx.array) -> mx.array:
        basis = self.forward_basis[:, 0]
        size = basis.shape[-1]
        past = max(0, size - self.hop_length)
        x = mx.pad(waveform, [(0, 0), (past, 0)])[..., None]
        count = (x.shape[1] - size) // self.hop_length + 1
        spectrum = windows(x, count, size, hop=self.hop_length).squeeze(-1) @ basis.T
        real, imaginary = mx.split(spectrum, 2, axis=-1)
        return mx.sqrt(mx.square(real) + mx.square(imaginary))


def set_convolutions(network: VocoderWithBWE) -> None:
    """Let the convolutions of a network be those of this module."""

    def change(_: str, module: nn.Module) -> None:
        for kind in (TrainedConv1d, TrainedConvTranspose1d, TrainedSTFT):
            if type(module) is kind.__base__:
                module.__class__ = kind

    network.apply_to_modules(change)
