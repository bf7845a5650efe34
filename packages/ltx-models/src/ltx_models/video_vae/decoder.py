"""Latents to pixels."""

from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ShapeError

from ltx_models.video_vae.blending import Coordinates, stream_tiles
from ltx_models.video_vae.blocks import DepthToSpaceUpsample, UNetMidBlock3D
from ltx_models.video_vae.chunks import (
    CHUNK_BYTES,
    chunk_starts,
    decoder_arrays,
    in_chunks,
    in_one,
    list_layers,
)
from ltx_models.video_vae.config import VideoVAEConfig
from ltx_models.video_vae.convolution import CausalConv3d
from ltx_models.video_vae.ops import PerChannelStatistics, unpatchify
from ltx_models.video_vae.past import FRAMES
from ltx_models.video_vae.tile_grid import prepare_tiles_for_decoding
from ltx_models.video_vae.tiling import TileSizeConfig


class VideoDecoder(nn.Module):
    """The convolutional decoder; F latent frames become 8 (F - 1) + 1 pixel frames.

    Attributes:
        per_channel_statistics: of the latent channels.
        video_downscale_factors: pixels per latent.
        eval_every: evaluate after every so many blocks; 0: never. Keeps command buffers short on Metal.
        chunk_bytes: where a layer's array would be larger, the clip goes through that layer and the ones
            behind it in chunks of frames, evaluated one by one; the result is the same. 0: never, for
            gradients.
    """

    def __init__(self, config: VideoVAEConfig) -> None:
        """Raises ConfigError if the channels of the config's blocks do not fit together."""
        super().__init__()
        self.config = config
        self.video_downscale_factors = config.scale_factors
        self.eval_every = 0
        self.chunk_bytes = CHUNK_BYTES
        self.per_channel_statistics = PerChannelStatistics(config.latent_channels)
        padding, channels = config.decoder_padding, config.decoder_in_channels
        self.conv_in = CausalConv3d(config.latent_channels, channels, padding)
        self.up_blocks: list[UNetMidBlock3D | DepthToSpaceUpsample] = []
        for block in config.decoder_blocks:
            if block.name == "res_x":
                self.up_blocks.append(UNetMidBlock3D(channels, block.num_layers, padding))
            else:
                out_channels = channels // block.multiplier
                self.up_blocks.append(
                    DepthToSpaceUpsample(channels, out_channels, block.stride, block.residual, padding)
                )
                channels = out_channels
        self.conv_out = CausalConv3d(
            channels, config.out_channels * config.patch_size**2, padding, activate=True
        )

    def __call__(self, sample: mx.array) -> mx.array:
        """Decode normalised latents.

        Args:
            sample: (B, C, F, H, W).

        Returns:
            Pixels (B, 3, 8 (F - 1) + 1, 32 H, 32 W), nominally in [-1, 1] but not clamped, in the dtype of
            the latents.

        Raises:
            ShapeError: other axes; less than 2 x 2 latents where the config pads by reflection; frames so
                large that an array would have 2^31 elements, which tiles avoid.
        """
        chunks = list(self.chunked_decode(sample))
        return chunks[0] if len(chunks) == 1 else mx.concatenate(chunks, axis=2)

    def chunked_decode(self, sample: mx.array) -> Iterator[mx.array]:
        """As when called, but in chunks (B, 3, f, H, W) that follow each other in time; each is evaluated, if
        there are several."""
        self._check(sample)
        return self._decode(sample)

    def _decode(self, sample: mx.array) -> Iterator[mx.array]:
        x = self.per_channel_statistics.un_normalize(sample.astype(self.conv_in.conv.weight.dtype))
        x = x.transpose(0, 2, 3, 4, 1)
        arrays = decoder_arrays(self.config, sample.shape)
        layers, sizes = list_layers(self.conv_in, self.up_blocks, self.conv_out, arrays)
        most = self.chunk_bytes // x.dtype.size or max(arrays)
        small = next((index for index, size in enumerate(sizes) if size > most), len(layers))
        causal = self.config.causal_decoder
        if small == len(layers):
            yield self._pixels(in_one(layers, x, causal, eval_every=self.eval_every), sample.dtype)
            return
        x = in_one(layers[:small], x, causal, eval_every=1)
        starts = chunk_starts(max(sizes[small:]), most, x.shape[FRAMES])
        for chunk in in_chunks(layers[small:], x, starts, causal):
            pixels = self._pixels(chunk, sample.dtype)
            mx.eval(pixels)
            del chunk  # not beside the next one
            yield pixels
            del pixels

    def _pixels(self, x: mx.array, dtype: mx.Dtype) -> mx.array:
        return unpatchify(x, self.config.patch_size).astype(dtype)

    def tiled_decode(self, latent: mx.array, tiling_config: TileSizeConfig) -> Iterator[mx.array]:
        """Decode in tiles that are blended.

        Yields:
            Chunks (B, 3, f, H, W) that follow each other in time, evaluated; the first may be empty.

        Raises:
            ShapeError: as when called.
            ConfigError: tile sizes that do not fit the latent grid.
        """
        self._check(latent)
        grid = prepare_tiles_for_decoding(latent.shape[2:], tiling_config, self.video_downscale_factors)

        def decode(tile: Coordinates) -> mx.array:
            return self(latent[:, :, *tile])

        return stream_tiles(grid, decode, latent.dtype)

    def decode_video(
        self, latent: mx.array, tiling_config: TileSizeConfig | None = None
    ) -> Iterator[mx.array]:
        """Decode one clip to frames as media files have them.

        Args:
            latent: normalised, (1, C, F, H, W).
            tiling_config: sizes of the tiles; None: none.

        Yields:
            Chunks (f, H, W, 3) in [0, 1] in the dtype of the latent, evaluated.

        Raises:
            ShapeError, ConfigError: as `tiled_decode`; ShapeError for more than one clip.
        """
        if latent.shape[0] != 1:
            raise ShapeError(f"decode_video takes one clip at a time, got a batch of {latent.shape[0]}")
        if tiling_config is None:
            chunks = self.chunked_decode(latent)
        else:
            chunks = self.tiled_decode(latent, tiling_config)
        # No generator expression: its variable would keep a chunk while the next one is computed.
        return map(_to_frames, filter(lambda chunk: chunk.shape[2] > 0, chunks))

    def _check(self, latent: mx.array) -> None:
        channels = self.config.latent_channels
        if latent.ndim != 5 or latent.shape[1] != channels or 0 in latent.shape:
            raise ShapeError(f"the video decoder takes latents (B, {channels}, F, H, W), got {latent.shape}")


def _to_frames(pixels: mx.array) -> mx.array:
    """(1, 3, f, H, W) in [-1, 1] to (f, H, W, 3) in [0, 1]."""
    frames = mx.clip((pixels[0].transpose(1, 2, 3, 0) + 1) / 2, 0, 1)
    mx.eval(frames)
    return frames


def to_uint8(frames: mx.array) -> mx.array:
    """Frames in [0, 1] as bytes: times 255, truncated."""
    return (frames.astype(mx.float32) * 255).astype(mx.uint8)
