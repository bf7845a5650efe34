"""Pixels to latents."""

import logging

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ShapeError

from ltx_models.video_vae.blending import Coordinates, stream_tiles
from ltx_models.video_vae.blocks import SpaceToDepthDownsample, UNetMidBlock3D
from ltx_models.video_vae.chunks import (
    CHUNK_BYTES,
    chunk_starts,
    encoder_arrays,
    in_chunks,
    in_one,
    list_layers,
)
from ltx_models.video_vae.config import VideoVAEConfig
from ltx_models.video_vae.convolution import CausalConv3d
from ltx_models.video_vae.ops import PerChannelStatistics, patchify
from ltx_models.video_vae.past import FRAMES
from ltx_models.video_vae.tile_grid import prepare_tiles_for_encoding
from ltx_models.video_vae.tiling import TileSizeConfig

logger = logging.getLogger(__name__)


class VideoEncoder(nn.Module):
    """Causal: a latent frame depends on the pixel frames that it stands for and on earlier ones.

    Attributes:
        per_channel_statistics: of the latent channels.
        video_scale_factors: pixels per latent.
        eval_every: evaluate after every so many blocks; 0: never. Keeps command buffers short on Metal.
        chunk_bytes: where a layer's array would be larger, the clip goes through the layers up to that one in
            chunks of frames, evaluated one by one; the result is the same. 0: never, for gradients.
    """

    def __init__(self, config: VideoVAEConfig) -> None:
        """Raises ConfigError if the channels of the config's blocks do not fit together."""
        super().__init__()
        self.config = config
        self.video_scale_factors = config.scale_factors
        self.eval_every = 0
        self.chunk_bytes = CHUNK_BYTES
        self.per_channel_statistics = PerChannelStatistics(config.latent_channels)
        padding, channels = config.encoder_padding, config.latent_channels
        self.conv_in = CausalConv3d(config.in_channels * config.patch_size**2, channels, padding)
        self.down_blocks: list[UNetMidBlock3D | SpaceToDepthDownsample] = []
        for block in config.encoder_blocks:
            if block.name == "res_x":
                self.down_blocks.append(UNetMidBlock3D(channels, block.num_layers, padding))
            else:
                out_channels = channels * block.multiplier
                self.down_blocks.append(SpaceToDepthDownsample(channels, out_channels, block.stride, padding))
                channels = out_channels
        self.conv_out = CausalConv3d(channels, config.encoder_out_channels, padding, activate=True)

    def __call__(self, sample: mx.array) -> mx.array:
        """Encode a clip.

        Args:
            sample: pixels (B, 3, F, H, W) in [-1, 1]. Frames beyond 8 k + 1 are cropped, with a warning.

        Returns:
            Normalised means (B, C, 1 + (F - 1) / 8, H / 32, W / 32), in the dtype of the weights.

        Raises:
            ShapeError: other axes, or a height or width that is no multiple of 32.
        """
        sample = self._crop(sample)
        x = patchify(sample.astype(self.conv_in.conv.weight.dtype), self.config.patch_size)
        arrays = encoder_arrays(self.config, sample.shape)
        layers, sizes = list_layers(self.conv_in, self.down_blocks, self.conv_out, arrays)
        most = self.chunk_bytes // x.dtype.size or max(arrays)
        large = max((index for index, size in enumerate(sizes, start=1) if size > most), default=0)
        if large:
            starts = chunk_starts(max(arrays), most, x.shape[FRAMES], self.video_scale_factors.time)
            x = mx.concatenate(list(in_chunks(layers[:large], x, starts, True)), axis=FRAMES)
        x = in_one(layers[large:], x, True, eval_every=1 if large else self.eval_every)
        means = x[..., : self.config.latent_channels].transpose(0, 4, 1, 2, 3)
        return self.per_channel_statistics.normalize(means)

    def tiled_encode(self, video: mx.array, tiling_config: TileSizeConfig) -> mx.array:
        """Encode a clip in tiles that are blended; arguments and result as when called.

        Raises:
            ShapeError: as when called.
            ConfigError: tile sizes that do not fit the latent grid, or overlaps below 16 frames or 64 pixels.
        """
        video = self._crop(video)
        grid = prepare_tiles_for_encoding(video.shape[2:], tiling_config, self.video_scale_factors)

        def encode(tile: Coordinates) -> mx.array:
            return self(video[:, :, *tile])

        latent = mx.concatenate(list(stream_tiles(grid, encode, mx.float32)), axis=2)
        return latent.astype(self.conv_in.conv.weight.dtype)

    def _crop(self, video: mx.array) -> mx.array:
        time, height, width = self.video_scale_factors
        channels = self.config.in_channels
        if video.ndim != 5 or video.shape[1] != channels or video.shape[3] % height or video.shape[4] % width:
            raise ShapeError(
                f"the video encoder takes (B, {channels}, F, H, W) with H a multiple of {height} and W of "
                f"{width}, got {video.shape}"
            )
        surplus = (video.shape[2] - 1) % time
        if surplus:
            logger.warning(
                "%d frames are not %d k + 1: the last %d are not encoded", video.shape[2], time, surplus
            )
        return video[:, :, : video.shape[2] - surplus]
