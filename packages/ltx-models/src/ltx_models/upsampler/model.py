"""The network that enlarges latents, channels last inside: (B, F, H, W, C)."""

import mlx.core as mx
import mlx.nn as nn
from ltx_core.device import backend
from ltx_core.errors import ShapeError
from ltx_core.maths import precise_mean

from ltx_models.upsampler.config import NORM_GROUPS, RATIONAL_SCALES, LatentUpsamplerConfig
from ltx_models.video_vae.convolution import convolve
from ltx_models.video_vae.ops import PerChannelStatistics, depth_to_space


def _conv3d(x: mx.array, conv: nn.Conv3d) -> mx.array:
    return convolve(x, conv.weight, conv.bias, (1, 1, 1))


def _conv2d(x: mx.array, conv: nn.Conv2d) -> mx.array:
    """Each frame on its own."""
    return convolve(x, conv.weight, conv.bias, (0, 1, 1))


class GroupNorm(nn.GroupNorm):
    """Zero mean and unit variance for each group of channels over all positions, then weight and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__(NORM_GROUPS, channels, eps=1e-5, pytorch_compatible=True)

    def __call__(self, x: mx.array) -> mx.array:
        if backend() != "cpu":
            result: mx.array = super().__call__(x)
            return result
        groups = x.astype(mx.float32).reshape(x.shape[0], -1, NORM_GROUPS, x.shape[-1] // NORM_GROUPS)
        groups = groups.swapaxes(1, 2)
        groups = groups - precise_mean(groups, 2)
        groups = groups * mx.rsqrt(precise_mean(mx.square(groups), 2) + self.eps)
        return groups.swapaxes(1, 2).reshape(x.shape).astype(x.dtype) * self.weight + self.bias


class ResBlock(nn.Module):
    """Two normalised convolutions; the second activation comes after the skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3)
        self.norm1 = GroupNorm(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3)
        self.norm2 = GroupNorm(channels)

    def __call__(self, x: mx.array) -> mx.array:
        hidden = nn.silu(self.norm1(_conv3d(x, self.conv1)))
        result: mx.array = nn.silu(self.norm2(_conv3d(hidden, self.conv2)) + x)
        return result


class BlurDownsample(nn.Module):
    """A binomial filter on height and width, then every `stride`-th position of each.

    Attributes:
        kernel: (1, 1, K, K), from the checkpoint.
    """

    def __init__(self, stride: int, kernel_size: int = 5) -> None:
        super().__init__()
        self.stride = stride
        self.kernel = mx.zeros((1, 1, kernel_size, kernel_size))

    def __call__(self, x: mx.array) -> mx.array:
        if self.stride == 1:
            return x
        size = self.kernel.shape[-1]
        margin, stride = size // 2, self.stride
        height, width = ((length - 1) // stride + 1 for length in x.shape[2:4])
        padded = mx.pad(x.astype(mx.float32), [(0, 0), (0, 0), (margin, margin), (margin, margin), (0, 0)])
        # Shifted sums: a depthwise convolution of 25 taps is slower than this on CPUs and no gain elsewhere.
        out = mx.zeros((*x.shape[:2], height, width, x.shape[-1]))
        for i in range(size):
            for j in range(size):
                rows = slice(i, i + stride * (height - 1) + 1, stride)
                columns = slice(j, j + stride * (width - 1) + 1, stride)
                out = out + padded[:, :, rows, columns] * self.kernel[0, 0, i, j].astype(mx.float32)
        return out.astype(x.dtype)


class SpatialRationalResampler(nn.Module):
    """Height and width times a fraction: up by a convolution and a shuffle, down by a blur with a stride."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.up, down = RATIONAL_SCALES[scale]
        self.conv = nn.Conv2d(channels, self.up**2 * channels, 3)
        self.blur_down = BlurDownsample(down)

    def __call__(self, x: mx.array) -> mx.array:
        return self.blur_down(depth_to_space(_conv2d(x, self.conv), (1, self.up, self.up)))


class LatentUpsampler(nn.Module):
    """Enlarges latents in space or time. It works on latents as they are: see `upsample_video`.

    Attributes:
        eval_every: evaluate after every so many residual blocks; 0: never. Shortens Metal's command buffers.
    """

    def __init__(self, config: LatentUpsamplerConfig) -> None:
        super().__init__()
        self.config = config
        self.eval_every = 0
        channels, blocks = config.mid_channels, config.num_blocks_per_stage
        self.initial_conv = nn.Conv3d(config.in_channels, channels, 3)
        self.initial_norm = GroupNorm(channels)
        self.res_blocks = [ResBlock(channels) for _ in range(blocks)]
        self.upsampler: SpatialRationalResampler | list[nn.Conv2d | nn.Conv3d]
        if config.rational_resampler:
            self.upsampler = SpatialRationalResampler(channels, config.spatial_scale)
        elif config.temporal_upsample:
            self.upsampler = [nn.Conv3d(channels, (8 if config.spatial_upsample else 2) * channels, 3)]
        else:
            self.upsampler = [nn.Conv2d(channels, 4 * channels, 3)]
        self.post_upsample_res_blocks = [ResBlock(channels) for _ in range(blocks)]
        self.final_conv = nn.Conv3d(channels, config.in_channels, 3)

    def __call__(self, latent: mx.array) -> mx.array:
        """Enlarge latents.

        Args:
            latent: not normalised, (B, C, F, H, W).

        Returns:
            (B, C, F, s H, s W), or (B, C, 2 F - 1, H, W) from a temporal upsampler; in the dtype of `latent`.

        Raises:
            ShapeError: other axes.
        """
        if latent.ndim != 5 or latent.shape[1] != self.config.in_channels:
            raise ShapeError(
                f"the upsampler takes latents (B, {self.config.in_channels}, F, H, W), got {latent.shape}"
            )
        x = latent.astype(self.initial_conv.weight.dtype).transpose(0, 2, 3, 4, 1)
        x = nn.silu(self.initial_norm(_conv3d(x, self.initial_conv)))
        x = self._run(self.res_blocks, x)
        x = self._upsample(x)
        x = self._run(self.post_upsample_res_blocks, x)
        return _conv3d(x, self.final_conv).transpose(0, 4, 1, 2, 3).astype(latent.dtype)

    def _run(self, blocks: list[ResBlock], x: mx.array) -> mx.array:
        for index, block in enumerate(blocks, start=1):
            x = block(x)
            if self.eval_every and index % self.eval_every == 0:
                mx.eval(x)
        return x

    def _upsample(self, x: mx.array) -> mx.array:
        if isinstance(self.upsampler, SpatialRationalResampler):
            return self.upsampler(x)
        conv = self.upsampler[0]
        if isinstance(conv, nn.Conv2d):
            return depth_to_space(_conv2d(x, conv), (1, 2, 2))
        space = 2 if self.config.spatial_upsample else 1
        # The first latent frame stands for a single pixel frame, so there are no two frames to make of it.
        return depth_to_space(_conv3d(x, conv), (2, space, space))[:, 1:]


def upsample_video(
    latent: mx.array, upsampler: LatentUpsampler, statistics: PerChannelStatistics
) -> mx.array:
    """Enlarge normalised latents (B, C, F, H, W) with the statistics of the VAE that they belong to."""
    return statistics.normalize(upsampler(statistics.un_normalize(latent)))
