"""Layers of the diffusion model with gradients that take few operations.

A training step of a small network waits for the host, which starts every operation by itself. The layers
compute what their originals do, rotations and activations in the network's own dtype.
"""

from typing import cast

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import mlx.nn as nn
from ltx_models.text_encoder.connectors import Embeddings1DConnector
from ltx_models.transformer.attention import Attention
from ltx_models.transformer.feed_forward import GELUApprox
from ltx_models.transformer.rope import FreqsCis

from ltx_pocket.train import kernels


@mx.custom_function
def gelu(x: mx.array) -> mx.array:
    """GELU in its tanh approximation."""
    return kernels.gelu(x)


@gelu.vjp
def _gelu_vjp(x: mx.array, cotangent: mx.array, _: mx.array) -> mx.array:
    return kernels.gelu_slope(x, cotangent)


@mx.custom_function
def turned(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    """`kernels.turn`."""
    return kernels.turn(x, cos, sin)


@turned.vjp
def _turned_vjp(
    primals: tuple[mx.array, ...], cotangent: mx.array, _: mx.array
) -> tuple[mx.array, mx.array, mx.array]:
    _x, cos, sin = primals
    # Back by the same angle. Nobody asks for the gradient of the tables.
    return kernels.turn(cotangent, cos, sin, back=True), cos, sin


def turning(rotation: FreqsCis, dtype: mx.Dtype) -> FreqsCis:
    """Tables of `turned` from cosines and sines (1, heads, T, D / 2)."""
    cos, sin = (table.astype(dtype).transpose(0, 2, 1, 3)[..., None, :] for table in rotation)
    return mx.contiguous(cos), mx.concatenate([-sin, sin], axis=-2)


@mx.custom_function
def attention(queries: mx.array, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
    """Softmax(queries keys^T) values, and the softmax, of (B, heads, T, D)."""
    weights = mx.softmax(queries @ keys.swapaxes(-1, -2), axis=-1, precise=True)
    return weights @ values, weights


@attention.vjp
def _attention_vjp(
    primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], outputs: tuple[mx.array, ...]
) -> tuple[mx.array, mx.array, mx.array]:
    queries, keys, values = primals
    cotangent, (result, weights) = cotangents[0], outputs
    slope = cotangent @ values.swapaxes(-1, -2)
    slope = kernels.softmax_slope(weights, slope, (cotangent * result).sum(axis=-1, keepdims=True))
    return (
        slope @ keys,
        slope.swapaxes(-1, -2) @ queries,
        weights.swapaxes(-1, -2) @ cotangent,
    )


class TrainedAttention(Attention):
    """Rotates by the tables of `turning`; keeps its weights for the gradient.

    MLX (0.32.4, CUDA) has a fused gradient of attention for multiples of 128 queries only. For others it
    computes the weights once more, by plain operations.
    """

    def attend(self, queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None) -> mx.array:
        """(B, heads, T, D); without a mask."""
        assert mask is None
        return cast(tuple[mx.array, ...], attention(queries * self.scale, keys, values))[0]

    def rotate(self, x: mx.array, pe: FreqsCis) -> mx.array:
        """RoPE of (B, heads, T, D)."""
        cos, sin = pe
        return cast(mx.array, turned(x.transpose(0, 2, 1, 3), cos, sin)).transpose(0, 2, 1, 3)


class TrainedConnector(Embeddings1DConnector):
    """Has tables for its attentions."""

    def _freqs_cis(self, length: int) -> FreqsCis:
        return turning(super()._freqs_cis(length), self.learnable_registers.dtype)


class TrainedGELU(GELUApprox):
    """Linear, then GELU."""

    def __call__(self, x: mx.array) -> mx.array:
        return cast(mx.array, gelu(self.proj(x)))


def set_layers(network: nn.Module) -> None:
    """Let the layers inside a network be those of this module where it has them."""

    def change(_: str, module: nn.Module) -> None:
        for kind in (TrainedAttention, TrainedConnector, TrainedGELU):
            if type(module) is kind.__base__:
                module.__class__ = kind

    network.apply_to_modules(change)
