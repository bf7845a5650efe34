"""The blocks of the video VAE, all (B, F, H, W, C) -> (B, F', H', W', C')."""

import math

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ConfigError
from ltx_core.fused import norm_silu

from ltx_models.video_vae.config import PaddingMode, Stride
from ltx_models.video_vae.convolution import CausalConv3d
from ltx_models.video_vae.ops import depth_to_space, space_to_depth


def norm_act(x: mx.array) -> mx.array:
    """SiLU of the pixel norm: every position is divided by its root mean square over the channels."""
    return norm_silu(x, 1e-8)


class ResnetBlock3D(nn.Module):
    """Two convolutions and a skip connection."""

    def __init__(self, channels: int, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.conv1 = CausalConv3d(channels, channels, padding_mode)
        self.conv2 = CausalConv3d(channels, channels, padding_mode)

    def __call__(self, x: mx.array, causal: bool) -> mx.array:
        hidden = self.conv1(norm_act(x), causal)
        return x + self.conv2(norm_act(hidden), causal)


class UNetMidBlock3D(nn.Module):
    """Residual blocks at one resolution ("res_x")."""

    def __init__(self, channels: int, num_layers: int, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.res_blocks = [ResnetBlock3D(channels, padding_mode) for _ in range(num_layers)]

    def __call__(self, x: mx.array, causal: bool) -> mx.array:
        for block in self.res_blocks:
            x = block(x, causal)
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
        self.out_channels = out_channels
        self.conv = CausalConv3d(in_channels, out_channels // positions, padding_mode)

    def __call__(self, x: mx.array, causal: bool) -> mx.array:
        if self.stride[0] == 2:
            x = mx.concatenate([x[:, :1], x], axis=1)
        skip = space_to_depth(x, self.stride)
        skip = skip.reshape(*skip.shape[:-1], self.out_channels, -1).mean(axis=-1)
        return space_to_depth(self.conv(x, causal), self.stride) + skip


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
        self.residual = residual
        self.conv = CausalConv3d(in_channels, out_channels * positions, padding_mode)

    def __call__(self, x: mx.array, causal: bool) -> mx.array:
        drop = self.stride[0] - 1
        out = depth_to_space(self.conv(x, causal), self.stride)[:, drop:]
        if not self.residual:
            return out
        skip = depth_to_space(x, self.stride)[:, drop:]
        repeated = out.reshape(*out.shape[:-1], -1, skip.shape[-1]) + skip[..., None, :]
        return repeated.reshape(out.shape)
