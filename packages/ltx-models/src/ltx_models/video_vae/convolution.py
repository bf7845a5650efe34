"""Convolutions of videos, channels last, and their padding."""

from functools import cache
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from ltx_core.device import backend
from ltx_core.errors import ShapeError

from ltx_models.video_vae.config import PaddingMode
from ltx_models.video_vae.padding import pad
from ltx_models.video_vae.past import FRAMES, WHOLE, Past

# Kernels index with 32 bits; larger arrays come out wrong without an error.
MAX_ELEMENTS = 2**31

PART = 2**19
"""Positions at once in the gradient of a convolution's weights."""


def convolve(x: mx.array, weight: mx.array, bias: mx.array, padding: tuple[int, int, int]) -> mx.array:
    """A convolution with stride 1 and zero padding, by the way that suits the device.

    Args:
        x: (B, F, H, W, C).
        weight: (O, kt, kh, kw, C), in MLX's layout; (O, kh, kw, C) is applied to each frame.
        bias: (O,).
        padding: zeros on both sides of time, height and width.

    Returns:
        (B, F', H', W', O).

    Raises:
        ShapeError: if input or output would have 2^31 elements or more.
    """
    if weight.ndim == 4:
        weight = weight[:, None]
    positions = x.size // x.shape[-1]
    if positions * max(x.shape[-1], weight.shape[0]) >= MAX_ELEMENTS:
        raise ShapeError(
            f"a convolution of {x.shape} to {weight.shape[0]} channels has 2^31 elements or more: "
            "encode or decode in tiles (tiling_config)"
        )
    if backend() == "cpu" and x.dtype != mx.float32:
        # Sum in float32 and round once, as the kernels of GPUs do.
        x32, weight, bias = (array.astype(mx.float32) for array in (x, weight, bias))
        return convolve(x32, weight, bias, padding).astype(x.dtype)
    # Per tap, `_convolve_rows` copies O x C weights, the built-in CPU convolution positions x C inputs.
    if backend() == "cpu" and positions > 2 * weight.shape[0]:
        x = mx.pad(x, [(0, 0), *((size, size) for size in padding), (0, 0)])
        return _convolve_rows(x, weight) + bias
    if backend() == "cuda":
        return cast(mx.array, _with_fast_gradients(padding)(x, weight)) + bias
    return mx.conv3d(x, weight, padding=padding) + bias


@cache
def _with_fast_gradients(padding: tuple[int, int, int]) -> Any:
    """A convolution whose gradients cuDNN computes: 5 to 20 times faster for the weights than MLX's own,
    which copies the window of every position."""

    @mx.custom_function
    def convolution(x: mx.array, weight: mx.array) -> mx.array:
        return mx.conv3d(x, weight, padding=padding)

    @convolution.vjp
    def gradients(
        primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array
    ) -> tuple[mx.array, mx.array]:
        x, weight = primals
        turned = weight[:, ::-1, ::-1, ::-1].swapaxes(0, -1)
        outer = [size - 1 - pad for size, pad in zip(weight.shape[1:-1], padding, strict=True)]
        # In parts: of a million positions and more cuDNN makes something very slow.
        size = max(1, PART * len(x) // (cotangent.size // cotangent.shape[-1]))
        change = mx.zeros(weight.shape)
        for first in range(0, len(x), size):
            part, dy = x[first : first + size], cotangent[first : first + size]
            own = mx.conv_general(part.swapaxes(0, -1), dy.swapaxes(0, -1), padding=padding)
            change = change + own.swapaxes(0, -1).astype(mx.float32)
        return mx.conv_general(cotangent, turned, padding=outer), change.astype(weight.dtype)

    return convolution


def _convolve_rows(x: mx.array, weight: mx.array) -> mx.array:
    """A convolution without padding as one matrix product per tap of the kernel.

    MLX's own on CPUs first copies the window of every position, 27 times its input: slow, and more memory
    than there is for a clip. Here nothing is copied. Seen as a matrix (positions, C), what a tap sees is the
    same matrix from a later row on. Windows that wrap around an edge are computed too, and cut off.
    """
    batch, frames, height, width, channels = x.shape
    out_channels, *kernel, _ = weight.shape
    taps = mx.contiguous(weight.reshape(out_channels, -1, channels).transpose(1, 0, 2))
    offsets = [
        (t * height + h) * width + w
        for t in range(kernel[0])
        for h in range(kernel[1])
        for w in range(kernel[2])
    ]
    rows = x.reshape(-1, channels)
    count = rows.shape[0] - offsets[-1]
    out = rows[:count] @ taps[0].T
    for tap, offset in zip(taps[1:], offsets[1:], strict=True):
        out = mx.addmm(out, rows[offset : offset + count], tap.T)
    out = mx.pad(out, [(0, offsets[-1]), (0, 0)]).reshape(batch, frames, height, width, out_channels)
    return out[:, : frames - kernel[0] + 1, : height - kernel[1] + 1, : width - kernel[2] + 1]


class CausalConv3d(nn.Module):
    """3 x 3 x 3 convolution that repeats the frames at the ends and pads height and width by `padding_mode`.

    (B, F, H, W, C) -> (B, F, H, W, O).
    """

    time_factor = 1

    def __init__(
        self, in_channels: int, out_channels: int, padding_mode: PaddingMode, *, activate: bool = False
    ) -> None:
        """`activate`: it puts its input through `norm_act` first."""
        super().__init__()
        self.padding_mode = padding_mode
        self.activate = activate
        self.conv = nn.Conv3d(in_channels, out_channels, 3)

    def __call__(self, x: mx.array, causal: bool, past: Past = WHOLE) -> mx.array:
        """With `causal`, a frame depends on itself and the two before it; else on one to each side.

        Args:
            past: of the chunks before x. Then the output is a frame late, unless `causal`: the first chunk's
                is a frame shorter (it may have none), the last one's a frame longer.

        Raises:
            ShapeError: reflect padding of less than 2 x 2, or 2^31 elements and more.
        """
        before = past.of(self)
        left = 0 if before is not None else 2 if causal else 1
        right = 0 if causal or not past.ends else 1
        if not past.ends and x.shape[FRAMES]:
            past.keep(self, _last_two(x, before, left))
        frames = x.shape[FRAMES] + left + right + (0 if before is None else 2)
        if not x.shape[FRAMES] or frames < 3:
            return mx.zeros((x.shape[0], 0, *x.shape[2:4], self.conv.weight.shape[0]), x.dtype)
        reflect = self.padding_mode == "reflect"
        x = pad(x, before, left, right, reflect=reflect, activate=self.activate)
        return convolve(x, self.conv.weight, self.conv.bias, (0, 0, 0) if reflect else (0, 1, 1))


def _last_two(x: mx.array, before: mx.array | None, left: int) -> mx.array:
    """The last two frames of x, what is before it, and copies of its first frame."""
    if x.shape[FRAMES] == 1:
        x = mx.concatenate([*([x] * left if before is None else [before]), x], axis=FRAMES)
    return x[:, -2:]
