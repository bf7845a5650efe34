"""Where the tiles of a clip lie and how they fade into each other. No networks, only numbers.

Tiles are laid out on the latent grid, so that decoding and encoding cut at the same places. Each axis is
split on its own; the tiles of a clip are all combinations. Rules: official release 1.2.0 (`ltx_core.tiling`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from ltx_core.types import SpatioTemporalScaleFactors

from ltx_models.video_vae.tiling import DimensionSizeConfig, TileSizeConfig


class DimensionInterval(NamedTuple):
    """One tile along an axis of the latent: [start, end), and how many latents it shares to either side."""

    start: int
    end: int
    left_ramp: int
    right_ramp: int


def split_by_size(length: int, size: int, overlap: int) -> list[DimensionInterval]:
    """Tiles every `size - overlap`; the last one ends with the axis and may be short."""
    if length <= size:
        return [DimensionInterval(0, length, 0, 0)]
    step = size - overlap
    count = (length + size - 2 * overlap - 1) // step
    return [
        DimensionInterval(
            start=i * step,
            end=length if i == count - 1 else i * step + size,
            left_ramp=overlap if i else 0,
            right_ramp=overlap if i < count - 1 else 0,
        )
        for i in range(count)
    ]


def split_temporal_causal(length: int, size: int, overlap: int) -> list[DimensionInterval]:
    """As `split_by_size`, but tiles after the first start one latent earlier.

    The first latent of a tile stands for one frame where it should stand for eight: it is there to be
    ignored, and the ramp that it lengthens starts at 0.
    """
    first, *others = split_by_size(length, size, overlap)
    return [first, *(tile._replace(start=tile.start - 1, left_ramp=tile.left_ramp + 1) for tile in others)]


def trapezoidal_mask(length: int, ramp_left: int, ramp_right: int, left_starts_from_0: bool) -> np.ndarray:
    """1 in the middle, linear ramps at the ends. (length,) float32.

    The ramps lie strictly between 0 and 1, except that the left one starts with a 0 if asked for.
    """
    mask = np.ones(length)
    if left := min(ramp_left, length):
        points = np.linspace(0, 1, left + 1) if left_starts_from_0 else np.linspace(0, 1, left + 2)[1:]
        mask[:left] *= points[:-1]
    if right := min(ramp_right, length):
        mask[length - right :] *= np.linspace(1, 0, right + 2)[1:-1]
    return mask.astype(np.float32)


class AxisTile(NamedTuple):
    """One tile along one axis: what it takes from the input, where its output goes, and its fading there."""

    source: slice
    target: slice
    mask: np.ndarray


class TileGrid(NamedTuple):
    """The tiles of a clip: every combination of a tile along each axis."""

    time: list[AxisTile]
    height: list[AxisTile]
    width: list[AxisTile]


def blend_weights(tiles: Sequence[AxisTile]) -> list[np.ndarray]:
    """The masks of an axis, divided by their sum: what the tiles at any position contribute adds up to 1."""
    total = np.zeros(max(tile.target.stop for tile in tiles), np.float32)
    for tile in tiles:
        total[tile.target] += tile.mask
    return [tile.mask / np.maximum(total[tile.target], 1e-8) for tile in tiles]


def _split(
    axis: DimensionSizeConfig,
    length: int,
    factor: int,
    split: Callable[[int, int, int], list[DimensionInterval]],
) -> list[DimensionInterval]:
    if not axis.is_tiled():
        return [DimensionInterval(0, length, 0, 0)]
    overlap = axis.overlap // factor
    return split(length, max(2, overlap + 1, axis.tile_size // factor), overlap)


def _temporal_pixels(tile: DimensionInterval, scale: int) -> slice:
    """The frames that latent frames stand for, if the first one of the tile is a single frame."""
    return slice(tile.start * scale, 1 + (tile.end - 1) * scale)


def _spatial_pixels(tile: DimensionInterval, scale: int) -> slice:
    return slice(tile.start * scale, tile.end * scale)


def _decode_time(tile: DimensionInterval, scale: int) -> AxisTile:
    target = _temporal_pixels(tile, scale)
    left = 1 + (tile.left_ramp - 1) * scale if tile.left_ramp else 0
    mask = trapezoidal_mask(target.stop - target.start, left, tile.right_ramp * scale, True)
    return AxisTile(slice(tile.start, tile.end), target, mask)


def _decode_space(tile: DimensionInterval, scale: int) -> AxisTile:
    target = _spatial_pixels(tile, scale)
    mask = trapezoidal_mask(
        target.stop - target.start, tile.left_ramp * scale, tile.right_ramp * scale, False
    )
    return AxisTile(slice(tile.start, tile.end), target, mask)


def _encode(tile: DimensionInterval, source: slice, left_starts_from_0: bool) -> AxisTile:
    mask = trapezoidal_mask(tile.end - tile.start, tile.left_ramp, tile.right_ramp, left_starts_from_0)
    return AxisTile(source, slice(tile.start, tile.end), mask)


def prepare_tiles_for_decoding(
    latent_size: Sequence[int], config: TileSizeConfig, scale_factors: SpatioTemporalScaleFactors
) -> TileGrid:
    """Tiles that read a latent and write pixels.

    Args:
        latent_size: frames, height, width of the latent.

    Raises:
        ConfigError: tile sizes that do not fit the latent grid.
    """
    config.validate(scale_factors)
    frames, height, width = latent_size
    time, rows, columns = scale_factors
    return TileGrid(
        [_decode_time(tile, time) for tile in _split(config.frames, frames, time, split_temporal_causal)],
        [_decode_space(tile, rows) for tile in _split(config.height, height, rows, split_by_size)],
        [_decode_space(tile, columns) for tile in _split(config.width, width, columns, split_by_size)],
    )


def prepare_tiles_for_encoding(
    video_size: Sequence[int], config: TileSizeConfig, scale_factors: SpatioTemporalScaleFactors
) -> TileGrid:
    """Tiles that read pixels and write a latent.

    Args:
        video_size: frames (8 k + 1), height, width of the clip.

    Raises:
        ConfigError: tile sizes that do not fit the latent grid, or overlaps below 16 frames or 64 pixels.
    """
    config.validate(scale_factors)
    config.validate_for_encoding()
    frames, height, width = video_size
    time, rows, columns = scale_factors
    in_time = _split(config.frames, (frames - 1) // time + 1, time, split_temporal_causal)
    in_height = _split(config.height, height // rows, rows, split_by_size)
    in_width = _split(config.width, width // columns, columns, split_by_size)
    return TileGrid(
        [_encode(tile, _temporal_pixels(tile, time), True) for tile in in_time],
        [_encode(tile, _spatial_pixels(tile, rows), False) for tile in in_height],
        [_encode(tile, _spatial_pixels(tile, columns), False) for tile in in_width],
    )
