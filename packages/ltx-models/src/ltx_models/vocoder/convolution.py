"""One-dimensional convolutions, channels last, in forms that are fast on every device.

Two of MLX's own are not: on a CPU, dilated and transposed convolutions run a hundred times slower than dense
ones of the same work.
"""

import mlx.core as mx
import mlx.nn as nn
from ltx_core.device import backend


def conv1d(x: mx.array, weight: mx.array, *, padding: int = 0, dilation: int = 1) -> mx.array:
    """Convolution with stride 1.

    Args:
        x: (B, L, I).
        weight: (O, K, I).
        padding: zeros on both sides.
        dilation: distance of the taps.

    Returns:
        (B, L + 2 * padding - dilation * (K - 1), O).
    """
    if backend() != "cpu":
        return mx.conv1d(x, weight, padding=padding, dilation=dilation)
    # A sum of matrix products, one per tap: no unfolded copy of the input, and dilation is only an offset.
    x = mx.pad(x, [(0, 0), (padding, padding), (0, 0)])
    taps = weight.shape[1]
    length = x.shape[1] - dilation * (taps - 1)
    total = x[:, :length] @ weight[:, 0].T
    for tap in range(1, taps):
        start = tap * dilation
        total = total + x[:, start : start + length] @ weight[:, tap].T
    return total


def conv_transpose1d(x: mx.array, weight: mx.array, *, stride: int, padding: int) -> mx.array:
    """Transposed convolution in polyphase form: one dense convolution whose channels are the `stride` phases.

    Output n = stride * q + p - padding gathers weight[p + stride * j] * x[q - j] over j, so that phase p
    convolves the input with every stride-th tap from p on.

    Args:
        x: (B, L, I).
        weight: (O, K, I).
        stride: output samples per input sample.
        padding: output samples cut off at both ends.

    Returns:
        (B, (L - 1) * stride + K - 2 * padding, O).
    """
    out_channels, kernel, in_channels = weight.shape
    batch, length, _ = x.shape
    taps = -(-kernel // stride)
    weight = mx.pad(weight, [(0, 0), (0, taps * stride - kernel), (0, 0)])
    weight = weight.reshape(out_channels, taps, stride, in_channels)[:, ::-1]
    weight = weight.transpose(2, 0, 1, 3).reshape(stride * out_channels, taps, in_channels)
    y = conv1d(x, weight, padding=taps - 1).reshape(batch, -1, out_channels)
    return y[:, padding : (length - 1) * stride + kernel - padding]


class Conv1d(nn.Conv1d):
    """Convolution that keeps the length; odd kernels."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            padding=dilation * (kernel_size - 1) // 2,
            dilation=dilation,
            bias=bias,
        )

    def __call__(self, x: mx.array) -> mx.array:
        y = conv1d(x, self.weight, padding=self.padding, dilation=self.dilation)
        return y + self.bias if "bias" in self else y


class ConvTranspose1d(nn.ConvTranspose1d):
    """Upsampling by a transposed convolution: L -> rate * L."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, rate: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, rate, padding=(kernel_size - rate) // 2)

    def __call__(self, x: mx.array) -> mx.array:
        return conv_transpose1d(x, self.weight, stride=self.stride, padding=self.padding) + self.bias
