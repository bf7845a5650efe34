"""Video VAE, its tiles, the latent upscalers, and the resizing of conditioning media."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_core.maths import precise_std
from ltx_core.types import SpatioTemporalScaleFactors as Factors
from ltx_loaders import load_upsampler
from ltx_models.upsampler import upsample_video
from ltx_models.video_vae import DimensionSizeConfig, TileSizeConfig, VideoVAEConfig, to_uint8
from ltx_models.video_vae.tile_grid import TileGrid, prepare_tiles_for_decoding, prepare_tiles_for_encoding
from ltx_models.video_vae.tiling import MIN_ENCODE_OVERLAP_FRAMES, MIN_ENCODE_OVERLAP_PIXELS
from ltx_pipelines.resize import normalize_images, resize_and_center_crop

from tests.parity.harness import Case, Values, covers


@covers("vae_encode", kind="network")
def vae_encode(case: Case) -> Values:
    encoder = case.build("video_encoder")
    clip = case.inputs["clip"]
    values = {name: encoder(clip[:, :, :frames]) for name, frames in case.args["frames"].items()}
    return values | {"b2": encoder(case.inputs["pair"])}


@covers("vae_decode", kind="network")
def vae_decode(case: Case) -> Values:
    decoder = case.build("video_decoder")
    values: dict[str, mx.array] = {}
    for name, latent in case.inputs.items():
        rows, columns = case.args["stride"][name]
        values[name] = decoder(latent)[..., ::rows, ::columns]
        values[f"{name}.block_std"] = mx.stack(
            [precise_std(stage.astype(mx.float32)).squeeze() for stage in _stages(decoder, latent)]
        )
        if f"{name}.uint8" in case.outputs:
            rows, columns = case.args["uint8_stride"]
            frames = mx.concatenate([to_uint8(chunk) for chunk in decoder.decode_video(latent)])
            values[f"{name}.uint8"] = frames[:, ::rows, ::columns].astype(mx.int32)
    return values


def _stages(decoder: nn.Module, latent: mx.array) -> Iterator[mx.array]:
    """What the first convolution and each block of the decoder put out."""
    x = decoder.per_channel_statistics.un_normalize(latent).transpose(0, 2, 3, 4, 1)
    for layer in (decoder.conv_in, *decoder.up_blocks):
        x = layer(x, decoder.config.causal_decoder)
        yield x


@covers("vae_statistics", kind="component")
def vae_statistics(case: Case) -> Values:
    video = case.build("video_decoder").per_channel_statistics
    audio = case.build("audio_decoder").per_channel_statistics
    return {
        "video.normalized": video.normalize(case.inputs["video"]),
        "video.un_normalized": video.un_normalize(case.inputs["video"]),
        "audio.normalized": audio.normalize(case.inputs["audio_tokens"]),
        "audio.un_normalized": audio.un_normalize(case.inputs["audio_tokens"]),
    }


def _layout(grid: TileGrid, config: TileSizeConfig) -> dict[str, mx.array | np.ndarray]:
    """A grid as the cases record it: coordinates of all tiles, and the masks along the axes that are tiled.

    One mask for each start, that of its first tile: two temporal tiles may start with the clip.
    """

    def pairs(tiles: Iterable[Iterable[slice]]) -> np.ndarray:
        return np.array([[(axis.start, axis.stop) for axis in tile] for tile in tiles], np.int32)

    tiles = list(itertools.product(*grid))
    values: dict[str, mx.array | np.ndarray] = {
        "tiles_in": pairs([axis.source for axis in tile] for tile in tiles),
        "tiles_out": pairs([axis.target for axis in tile] for tile in tiles),
    }
    for name, along, size in zip("thw", grid, (config.frames, config.height, config.width), strict=True):
        if size.is_tiled():
            masks = {tile.target.start: tile.mask for tile in reversed(along)}
            values |= {f"mask_{name}{index}": mask for index, (_, mask) in enumerate(sorted(masks.items()))}
    return values


def _decode_tiling(
    spatial: Sequence[int], temporal: Sequence[int], latent_size: Sequence[int], factors: Factors
) -> TileSizeConfig:
    """The cases give one spatial size: that of the longer side."""
    _, height, width = latent_size
    return TileSizeConfig.from_long_side(
        long_side=DimensionSizeConfig(*spatial),
        height=height * factors.height,
        width=width * factors.width,
        scale_factors=factors,
        frames=DimensionSizeConfig(*temporal),
    )


def _encode_tiling(spatial: Sequence[int], temporal: Sequence[int] | None) -> TileSizeConfig:
    """Both sides as given; overlaps raised to what encoding needs."""
    pixels = DimensionSizeConfig(spatial[0], max(spatial[1], MIN_ENCODE_OVERLAP_PIXELS))
    frames = DimensionSizeConfig()
    if temporal:
        frames = DimensionSizeConfig(temporal[0], max(temporal[1], MIN_ENCODE_OVERLAP_FRAMES))
    return TileSizeConfig(frames, pixels, pixels)


def _named(name: str, values: Values) -> dict[str, mx.array | np.ndarray]:
    return {f"{name}.{key}": value for key, value in values.items()}


@covers("vae_tile_layout", kind="component")
def vae_tile_layout(case: Case) -> Values:
    factors = VideoVAEConfig.from_config(case.checkpoint.config["vae"]).scale_factors
    values: dict[str, mx.array | np.ndarray] = {}
    for name, layout in case.args["layouts"].items():
        size = layout["shape"][2:]
        if layout["kind"] == "decode":
            tiling = _decode_tiling(layout["spatial"], layout["temporal"], size, factors)
            grid = prepare_tiles_for_decoding(size, tiling, factors)
        else:
            tiling = _encode_tiling(layout["spatial"], layout["temporal"])
            grid = prepare_tiles_for_encoding(size, tiling, factors)
        values |= _named(name, _layout(grid, tiling))
    # The default of release 1.0.0, explicitly.
    pixels, frames = DimensionSizeConfig(512, 64), DimensionSizeConfig(64, 24)
    older_default = TileSizeConfig(frames, pixels, pixels)
    counts = [older_default.video_chunks_number(int(number)) for number in np.array(case.inputs["frames"])]
    return values | {"chunks_number": np.array(counts, np.int32)}


@covers("vae_tiled", kind="network")
def vae_tiled(case: Case) -> Values:
    decoder = case.build("video_decoder")
    encoder = case.build("video_encoder")
    factors, args = decoder.video_downscale_factors, case.args
    rows, columns = args["stride"]
    latent, image = case.inputs["latent"], case.inputs["image"]
    values: dict[str, mx.array | np.ndarray] = {}
    for name, part in {"both": latent, "one_frame": latent[:, :, :1]}.items():
        tiling = _decode_tiling(args["spatial"], args["temporal"], part.shape[2:], factors)
        chunks = list(decoder.tiled_decode(part, tiling))
        values |= _named(name, _layout(prepare_tiles_for_decoding(part.shape[2:], tiling, factors), tiling))
        values[f"{name}.video"] = mx.concatenate(chunks, axis=2)[..., ::rows, ::columns]
        values[f"{name}.chunk_frames"] = np.array([chunk.shape[2] for chunk in chunks], np.int32)
    tiling = _encode_tiling(args["encode_spatial"], args.get("encode_temporal"))
    grid = prepare_tiles_for_encoding(image.shape[2:], tiling, factors)
    return values | _named("encode", _layout(grid, tiling)) | {"encoded": encoder.tiled_encode(image, tiling)}


@covers("upscalers", kind="network")
def upscalers(case: Case) -> Values:
    statistics = case.build("video_encoder").per_channel_statistics
    values = {}
    for name, latent in case.inputs.items():
        upsampler = load_upsampler(case.root / f"{name}.safetensors", mx.float32)
        values[name] = upsampler(latent)
        values[f"{name}.pipeline"] = upsample_video(latent, upsampler, statistics)
    return values


@covers("media_resize", kind="component")
def media_resize(case: Case) -> Values:
    return {
        name: normalize_images(resize_and_center_crop(np.array(case.inputs[name]), height, width))
        for name, (height, width) in case.args["target"].items()
    }
