"""The vocoder's anti-aliased activation with a gradient that costs as much as itself.

Its filters are sums of shifted slices, and the gradient of every slice would be an array of its own, padded
with zeros: hundreds of them. Here the gradient of a filter is the mirrored filter, again a sum of slices.
"""

from typing import cast

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
from ltx_models.vocoder import Vocoder, VocoderWithBWE
from ltx_models.vocoder.antialias import RATIO, Activation1d, downsample_phases, upsample_phases


def _unpad(gradient: mx.array, before: int, after: int) -> mx.array:
    """The gradient of a signal (B, L >= 2, C) from that of the signal with its ends repeated."""
    first = gradient[:, : before + 1].sum(axis=1, keepdims=True)
    last = gradient[:, gradient.shape[1] - after - 1 :].sum(axis=1, keepdims=True)
    return mx.concatenate([first, gradient[:, before + 1 : -after - 1], last], axis=1)


@mx.custom_function
def upsampled(x: mx.array, taps: mx.array) -> tuple[mx.array, ...]:
    """`upsample_phases` by RATIO of (B, L, C) with an even number of taps, which are constants."""
    return tuple(upsample_phases(x, taps, RATIO))


@upsampled.vjp
def _upsampled_vjp(
    primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], _: tuple[mx.array, ...]
) -> tuple[mx.array, mx.array]:
    x, taps = primals
    length, size = x.shape[1], taps.shape[0]
    delay = (size - RATIO) // 2
    before, after = (size - 1 - delay) // RATIO, (delay + RATIO - 1) // RATIO
    reach = before + after
    total = mx.zeros((), x.dtype)
    for phase, cotangent in enumerate(cotangents):
        padded = mx.pad(cotangent, [(0, 0), (reach, reach), (0, 0)])
        newest, first = divmod(delay + phase, RATIO)
        for back, tap in enumerate(range(first, size, RATIO)):
            start = reach - (before + newest - back)
            total = total + padded[:, start : start + length + reach] * (RATIO * taps[tap])
    return _unpad(total, before, after), mx.zeros_like(taps)


@mx.custom_function
def downsampled(even: mx.array, odd: mx.array, taps: mx.array) -> mx.array:
    """`downsample_phases` of two phases (B, L, C); the taps are constants."""
    return downsample_phases([even, odd], taps)


@downsampled.vjp
def _downsampled_vjp(
    primals: tuple[mx.array, ...], cotangent: mx.array, _: mx.array
) -> tuple[mx.array, mx.array, mx.array]:
    even, _odd, taps = primals
    length = even.shape[1]
    reach = taps.shape[0] // 2
    margin = -(-reach // RATIO)
    padded = mx.pad(cotangent, [(0, 0), (2 * margin, 2 * margin), (0, 0)])
    totals = [mx.zeros((), even.dtype)] * RATIO
    for tap in range(taps.shape[0]):
        shift, phase = divmod(tap - reach + 1, RATIO)
        start = margin - shift
        totals[phase] = totals[phase] + padded[:, start : start + length + 2 * margin] * taps[tap]
    # Before the first sample every phase repeats that of the first phase, after the last that of the last.
    inner = [total[:, margin : margin + length] for total in totals]
    front = sum((total[:, :margin].sum(axis=1, keepdims=True) for total in totals), mx.zeros(()))
    back = sum((total[:, margin + length :].sum(axis=1, keepdims=True) for total in totals), mx.zeros(()))
    return (
        mx.concatenate([inner[0][:, :1] + front, inner[0][:, 1:]], axis=1),
        mx.concatenate([inner[1][:, :-1], inner[1][:, -1:] + back], axis=1),
        mx.zeros_like(taps),
    )


class TrainedActivation(Activation1d):
    """The same function as `Activation1d`, filters not trained."""

    def __call__(self, x: mx.array) -> mx.array:
        """(B, L, C) -> (B, L, C)."""
        up, down = self.upsample.filter.reshape(-1), self.downsample.lowpass.filter.reshape(-1)
        frequency, amount = mx.exp(self.act.alpha), 1.0 / (mx.exp(self.act.beta) + 1e-9)
        phases = cast(tuple[mx.array, ...], upsampled(x, up))
        even, odd = (phase + amount * mx.square(mx.sin(phase * frequency)) for phase in phases)
        return cast(mx.array, downsampled(even, odd, down))


def _trained(activation: Activation1d) -> TrainedActivation:
    result = TrainedActivation(activation.act.alpha.size)
    result.update(activation.parameters())
    result.freeze(keys=["filter"])
    return result


def set_activations(network: VocoderWithBWE) -> None:
    """Give a network's generators activations that are fast to train."""
    generators: tuple[Vocoder, ...] = (network.vocoder, network.bwe_generator)
    for generator in generators:
        for block in generator.resblocks:
            block.acts1 = [_trained(activation) for activation in block.acts1]
            block.acts2 = [_trained(activation) for activation in block.acts2]
        generator.act_post = _trained(generator.act_post)
