"""The vocoder's anti-aliased activation: its filters are matrix products, and so are their gradients."""

from typing import cast

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from ltx_models.vocoder import Vocoder, VocoderWithBWE
from ltx_models.vocoder.antialias import KERNEL_SIZE, RATIO, Activation1d

from ltx_pocket.train.windows import filtered

CHUNK = 32
"""Samples at the lower rate that belong to one matrix product."""

# Samples repeated at both ends of what goes into interpolation and decimation.
NEAR, FAR = KERNEL_SIZE // 4, KERNEL_SIZE // 2


def bands(taps: np.ndarray) -> tuple[mx.array, mx.array]:
    """Matrices of a filter of KERNEL_SIZE taps between two rates.

    With x and y continued beyond their ends, interpolation is y[n] = 2 sum_i x[i] taps[n - 2 i + 11], and
    decimation x[i] = sum_n y[n] taps[n - 2 i - 1]: each is, but for the factor, the other one's gradient.

    Returns:
        up: a chunk of y from x and NEAR samples on both sides. down: a chunk of x from y and FAR.
    """

    def band(rows: int, columns: int, row: int, column: int, offset: int) -> mx.array:
        r, c = np.indices((rows, columns))
        tap = row * r + column * c + offset
        inside = (tap >= 0) & (tap < KERNEL_SIZE)
        return mx.array(np.where(inside, taps[tap.clip(0, KERNEL_SIZE - 1)], 0).astype(np.float32))

    up = band(RATIO * CHUNK, CHUNK + 2 * NEAR, 1, -RATIO, KERNEL_SIZE - 1)
    return up, band(CHUNK, RATIO * CHUNK + 2 * FAR, -RATIO, 1, -1)


def _repeated(x: mx.array, count: int) -> mx.array:
    """A signal (B, L, C) with its first and last sample `count` times more."""
    batch, _, channels = x.shape
    first = mx.broadcast_to(x[:, :1], (batch, count, channels))
    last = mx.broadcast_to(x[:, -1:], (batch, count, channels))
    return mx.concatenate([first, x, last], axis=1)


def _folded(gradient: mx.array, count: int) -> mx.array:
    """The gradient of a signal from that of `_repeated`."""
    first = gradient[:, : count + 1].sum(axis=1, keepdims=True)
    last = gradient[:, gradient.shape[1] - count - 1 :].sum(axis=1, keepdims=True)
    return mx.concatenate([first, gradient[:, count + 1 : -count - 1], last], axis=1)


@mx.custom_function
def upsampled(x: mx.array, up: mx.array, _down: mx.array) -> mx.array:
    """(B, L, C) to (B, 2 L, C); the matrices of `bands` are constants."""
    return RATIO * filtered(_repeated(x, NEAR), up, CHUNK, RATIO * x.shape[1])


@upsampled.vjp
def _upsampled_vjp(
    primals: tuple[mx.array, ...], cotangent: mx.array, _: mx.array
) -> tuple[mx.array, mx.array, mx.array]:
    x, up, down = primals
    padded = mx.pad(cotangent, [(0, 0), (2 * FAR, 0), (0, 0)])
    return _folded(RATIO * filtered(padded, down, RATIO * CHUNK, x.shape[1] + 2 * NEAR), NEAR), up, down


@mx.custom_function
def downsampled(y: mx.array, _up: mx.array, down: mx.array) -> mx.array:
    """(B, 2 L, C) to (B, L, C); the matrices of `bands` are constants."""
    return filtered(_repeated(y, FAR), down, RATIO * CHUNK, y.shape[1] // RATIO)


@downsampled.vjp
def _downsampled_vjp(
    primals: tuple[mx.array, ...], cotangent: mx.array, _: mx.array
) -> tuple[mx.array, mx.array, mx.array]:
    y, up, down = primals
    padded = mx.pad(cotangent, [(0, 0), (FAR, 0), (0, 0)])
    return _folded(filtered(padded, up, CHUNK, y.shape[1] + 2 * FAR), FAR), up, down


class TrainedActivation(Activation1d):
    """The same function as `Activation1d`, filters not trained."""

    def prepare(self) -> None:
        """Make the matrices of the filters as they are."""
        self.freeze(keys=["filter"])
        taps = (np.array(part.filter).reshape(-1) for part in (self.upsample, self.downsample.lowpass))
        self._up, self._down = (bands(each) for each in taps)

    def __call__(self, x: mx.array) -> mx.array:
        """(B, L, C) -> (B, L, C)."""
        frequency, amount = mx.exp(self.act.alpha), 1.0 / (mx.exp(self.act.beta) + 1e-9)
        y = cast(mx.array, upsampled(x, *self._up))
        y = y + amount * mx.square(mx.sin(y * frequency))
        return cast(mx.array, downsampled(y, *self._down))


def _trained(activation: Activation1d) -> TrainedActivation:
    result = TrainedActivation(activation.act.alpha.size)
    result.update(activation.parameters())
    result.prepare()
    return result


def set_activations(network: VocoderWithBWE) -> None:
    """Give a network's generators activations that are fast to train."""
    generators: tuple[Vocoder, ...] = (network.vocoder, network.bwe_generator)
    for generator in generators:
        for block in generator.resblocks:
            block.acts1 = [_trained(activation) for activation in block.acts1]
            block.acts2 = [_trained(activation) for activation in block.acts2]
        generator.act_post = _trained(generator.act_post)
