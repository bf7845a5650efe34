"""The blocks of the video VAE, all (B, F, H, W, C) -> (B, F', H', W', C').

Each takes a whole clip, or the next chunk of one and what its layers remember of those before (`Past`).
"""

import math

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ConfigError

from ltx_models.video_vae.config import PaddingMode, Stride
from ltx_models.video_vae.convolution import CausalConv3d
from ltx_models.video_vae.ops import depth_to_space, space_to_depth
from ltx_models.video_vae.past import FRAMES, WHOLE, Past


class ResnetBlock3D(nn.Module):
    """Two convolutions and a skip connection."""

    time_factor = 1

    def __init__(self, channels: int, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.conv1 = CausalConv3d(channels, channels, padding_mode, activate=True)
        self.conv2 = CausalConv3d(channels, channels, padding_mode, activate=True)

    def __call__(self, x: mx.array, causal: bool, past: Past = WHOLE) -> mx.array:
        hidden = self.conv2(self.conv1(x, causal, past), causal, past)
        return past.delayed(self, x, hidden.shape[FRAMES]) + hidden


class UNetMidBlock3D(nn.Module):
    """Residual blocks at one resolution ("res_x")."""

    def __init__(self, channels: int, num_layers: int, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.res_blocks = [ResnetBlock3D(channels, padding_mode) for _ in range(num_layers)]

    def __call__(self, x: mx.array, causal: bool, past: Past = WHOLE) -> mx.array:
        for block in self.res_blocks:
            x = block(x, causal, past)
        return x


class SpaceToDepthDownsample(nn.Module):
    """Downsampling of the encoder ("compress_*_res"): positions become channels, in a convolution and a mean.

    The skip branch averages consecutive channels after the rearrangement. With a stride in time, the first
    frame is doubled, so that 1 + 2 n frames become 1 + n.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: Stride, padding_mode: PaddingMode
    ) -> None:
        """Raises ConfigError if the channels cannot be split among the positions."""
        super().__init__()
        positions = math.prod(stride)
        if out_channels % positions or in_channels * positions % out_channels:
            raise ConfigError(
                f"an encoder block with stride {stride} cannot turn {in_channels} into {out_channels} "
                f"channels; {positions} must divide the output, and the output {positions} times the input"
            )
        self.stride = stride
        self.time_factor = 1 / stride[0]
        self.out_channels = out_channels
        self.conv = CausalConv3d(in_channels, out_channels // positions, padding_mode)

    def __call__(self, x: mx.array, causal: bool, past: Past = WHOLE) -> mx.array:
        """Chunks, but for the first one, must have frames that the stride divides; and none is late only with
        `causal`."""
        if self.stride[0] == 2 and past.starts(self):
            x = mx.concatenate([x[:, :1], x], axis=FRAMES)
        skip = space_to_depth(x, self.stride)
        skip = skip.reshape(*skip.shape[:-1], self.out_channels, -1).mean(axis=-1)
        return space_to_depth(self.conv(x, causal, past), self.stride) + skip


class DepthToSpaceUpsample(nn.Module):
    """Upsampling of the decoder ("compress_*"): a convolution makes the channels that become positions.

    With a stride in time, the first frame is dropped: it was doubled on the way down. The optional skip
    branch rearranges the input alone and repeats its channels, as a whole, to the width of the output.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: Stride, residual: bool, padding_mode: PaddingMode
    ) -> None:
        """Raises ConfigError if the channels cannot be split among the positions."""
        super().__init__()
        positions = math.prod(stride)
        if residual and (in_channels % positions or out_channels % (in_channels // positions)):
            raise ConfigError(
                f"a residual decoder block with stride {stride} cannot turn {in_channels} into "
                f"{out_channels} channels; {positions} must divide the input, and the quotient the output"
            )
        self.stride = stride
        self.time_factor = stride[0]
        self.residual = residual
        self.conv = CausalConv3d(in_channels, out_channels * positions, padding_mode)

    def __call__(self, x: mx.array, causal: bool, past: Past = WHOLE) -> mx.array:
        out = self.conv(x, causal, past)
        count = out.shape[FRAMES]
        drop = self.stride[0] - 1 if count and past.starts(self) else 0
        out = depth_to_space(out, self.stride)[:, drop:]
        if not self.residual:
            return out
        skip = depth_to_space(past.delayed(self, x, count), self.stride)[:, drop:]
        repeats = out.shape[-1] // skip.shape[-1]
        repeated = out.reshape(*out.shape[:-1], repeats, skip.shape[-1]) + skip[..., None, :]
        return repeated.reshape(out.shape)
