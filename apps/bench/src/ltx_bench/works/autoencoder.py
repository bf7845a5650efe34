"""The video autoencoder and the latent upscaler."""

from typing import Any

import mlx.core as mx
from ltx_models.upsampler import upsample_video
from ltx_models.video_vae import TileSizeConfig, to_uint8
from ltx_pipelines.layout import layout_of

from ltx_bench.clips import noise
from ltx_bench.flops_convolutions import upsampler_flops, video_decoder_flops, video_encoder_flops
from ltx_bench.items import Item
from ltx_bench.networks import build, nbytes
from ltx_bench.works.base import Prepared, Setup, Work


def _latent(setup: Setup, item: Item) -> mx.array:
    tools = layout_of(setup.config(item)).video_tools(item.clip.pixels())
    return noise(tools.target_shape.to_shape(), setup.dtype)


def video_decode(setup: Setup, item: Item) -> Prepared:
    """A latent to the frames of a clip, as pipelines do it: in tiles, each chunk of frames made bytes as it
    comes, and let go."""
    config = setup.config(item)
    decoder = build("video_decoder", config, setup.dtype)

    def work(item: Item) -> Work:
        latent, clip = _latent(setup, item), item.clip
        tiling = TileSizeConfig.auto(
            height=clip.height, width=clip.width, scale_factors=layout_of(config).scale_factors
        )

        def run() -> None:
            for chunk in decoder.decode_video(latent, tiling):
                mx.eval(to_uint8(chunk))

        # Where tiles overlap, more is computed than this.
        return Work(run, video_decoder_flops(config, clip))

    return Prepared(work, nbytes(decoder))


def video_encode(setup: Setup, item: Item) -> Prepared:
    """The frames of a clip to a latent, in one piece."""
    config = setup.config(item)
    encoder = build("video_encoder", config, setup.dtype)

    def work(item: Item) -> Work:
        clip = item.clip
        pixels = noise((1, 3, clip.frames, clip.height, clip.width), setup.dtype)
        return Work(lambda: encoder(pixels), video_encoder_flops(config, clip))

    return Prepared(work, nbytes(encoder))


def upscale(setup: Setup, item: Item) -> Prepared:
    """The latent of a clip to that of one with twice its sides."""
    config = setup.config(item)
    upsampler = build("spatial_upsampler", config, setup.dtype)
    statistics: Any = build("video_encoder", config, setup.dtype).per_channel_statistics

    def work(item: Item) -> Work:
        latent = _latent(setup, item)
        return Work(lambda: upsample_video(latent, upsampler, statistics), upsampler_flops(config, item.clip))

    return Prepared(work, nbytes(upsampler))
