"""What a convolution of the video VAE sees beyond the edges of a clip, and the activation before it."""

from typing import Any

import mlx.core as mx
from ltx_core.device import backend
from ltx_core.errors import ShapeError
from ltx_core.fused import norm_silu

from ltx_models.video_vae import cuda_padding

EPS = 1e-8


def norm_act(x: mx.array) -> mx.array:
    """SiLU of the pixel norm: every position is divided by its root mean square over the channels."""
    return norm_silu(x, EPS)


def pad(
    x: mx.array, before: mx.array | None, left: int, right: int, *, reflect: bool, activate: bool
) -> mx.array:
    """Frames around a chunk, and pixels around its frames.

    Args:
        x: (B, F, H, W, C).
        before: (B, f, H, W, C), the frames before it, if there are any.
        left, right: copies of the first and of the last frame.
        reflect: mirror one row and one column on each side.
        activate: `norm_act` of everything.

    Returns:
        (B, left + f + F + right, H or H + 2, W or W + 2, C).

    Raises:
        ShapeError: less than 2 x 2 positions to mirror.
    """
    if reflect and min(x.shape[2:4]) < 2:
        raise ShapeError(f"reflect padding needs at least 2 x 2 positions, got {x.shape[2]} x {x.shape[3]}")
    if backend() != "cuda" or not cuda_padding.fits(x.shape[-1]):
        return _pad(x, before, left, right, reflect, activate)
    if before is not None:  # a chunk: nothing asks for its gradient
        return cuda_padding.pad(x, before, left, right, reflect, EPS if activate else None)

    @mx.custom_function
    def fused(x: mx.array) -> mx.array:
        return cuda_padding.pad(x, None, left, right, reflect, EPS if activate else None)

    @fused.vjp
    def gradient(x: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
        _, (slope,) = mx.vjp(
            lambda values: _pad(values, None, left, right, reflect, activate), [x], [cotangent]
        )
        return slope

    function: Any = fused
    padded: mx.array = function(x)
    return padded


def _pad(
    x: mx.array, before: mx.array | None, left: int, right: int, reflect: bool, activate: bool
) -> mx.array:
    """By MLX's operations, of which each copies the whole."""
    if before is not None:
        x = mx.concatenate([before, x], axis=1)
    if activate:
        x = norm_act(x)
    if left or right:
        x = mx.concatenate([x[:, :1]] * left + [x] + [x[:, -1:]] * right, axis=1)
    if not reflect:
        return x
    x = mx.concatenate([x[:, :, 1:2], x, x[:, :, -2:-1]], axis=2)
    return mx.concatenate([x[..., 1:2, :], x, x[..., -2:-1, :]], axis=3)
