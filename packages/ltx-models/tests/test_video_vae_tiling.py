from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError
from ltx_core.types import VIDEO_SCALE_FACTORS, VideoPixelShape
from ltx_models.video_vae import DimensionSizeConfig, TileSizeConfig
from ltx_models.video_vae.tile_grid import (
    AxisTile,
    blend_weights,
    prepare_tiles_for_decoding,
    prepare_tiles_for_encoding,
    split_by_size,
    split_temporal_causal,
    trapezoidal_mask,
)

quick = settings(max_examples=50, deadline=None)


@st.composite
def axes(draw: st.DrawFn, unit: int, least: int = 0) -> DimensionSizeConfig:
    overlap = draw(st.integers(least, 3))
    size = draw(st.integers(max(2, overlap + 1), 9))
    return DimensionSizeConfig(size * unit, overlap * unit)


def covers_exactly(tiles: list[AxisTile], length: int) -> None:
    total = np.zeros(length)
    for tile, weight in zip(tiles, blend_weights(tiles), strict=True):
        assert 0 <= tile.target.start < tile.target.stop <= length
        assert tile.mask.shape == (tile.target.stop - tile.target.start,)
        assert tile.mask.min() >= 0
        total[tile.target] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert tiles[0].target.start == 0
    assert tiles[-1].target.stop == length


@quick
@given(
    frames=axes(8),
    height=axes(32),
    width=axes(32),
    size=st.tuples(st.integers(1, 30), *[st.integers(1, 20)] * 2),
)
def test_decoded_tiles_cover_the_clip_with_weights_that_sum_to_1(
    frames: DimensionSizeConfig,
    height: DimensionSizeConfig,
    width: DimensionSizeConfig,
    size: tuple[int, int, int],
) -> None:
    grid = prepare_tiles_for_decoding(size, TileSizeConfig(frames, height, width), VIDEO_SCALE_FACTORS)
    pixels = ((size[0] - 1) * 8 + 1, size[1] * 32, size[2] * 32)
    for tiles, length, latents in zip(grid, pixels, size, strict=True):
        covers_exactly(tiles, length)
        assert {position for tile in tiles for position in range(latents)[tile.source]} == set(range(latents))
    for tile in grid.time:
        assert tile.target.stop - tile.target.start == 8 * (tile.source.stop - tile.source.start - 1) + 1


@quick
@given(
    frames=axes(8, 2),
    height=axes(32, 2),
    width=axes(32, 2),
    size=st.tuples(st.integers(0, 20), *[st.integers(1, 20)] * 2),
)
def test_encoded_tiles_cover_the_latent_with_weights_that_sum_to_1(
    frames: DimensionSizeConfig,
    height: DimensionSizeConfig,
    width: DimensionSizeConfig,
    size: tuple[int, int, int],
) -> None:
    video = (8 * size[0] + 1, 32 * size[1], 32 * size[2])
    grid = prepare_tiles_for_encoding(video, TileSizeConfig(frames, height, width), VIDEO_SCALE_FACTORS)
    for tiles, length, pixels in zip(grid, (size[0] + 1, *size[1:]), video, strict=True):
        covers_exactly(tiles, length)
        assert tiles[-1].source.stop == pixels
    for tile in grid.time:
        assert (tile.source.stop - tile.source.start) % 8 == 1


@quick
@given(length=st.integers(1, 60), size=st.integers(2, 12), overlap=st.integers(0, 5))
def test_neighbours_share_what_their_ramps_say(length: int, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    for left, right in pairwise(split_by_size(length, size, overlap)):
        assert left.end - right.start == left.right_ramp == right.left_ramp == overlap
    for left, right in pairwise(split_temporal_causal(length, size, overlap)):
        assert left.end - right.start == right.left_ramp == left.right_ramp + 1


def test_causal_tiles_start_at_weight_0() -> None:
    grid = prepare_tiles_for_decoding((31, 8, 8), TileSizeConfig.default(), VIDEO_SCALE_FACTORS)
    assert [tuple(tile) for tile in split_temporal_causal(31, 10, 3)] == [
        (0, 10, 0, 3),
        (6, 17, 4, 3),
        (13, 24, 4, 3),
        (20, 31, 4, 0),
    ]
    assert [(tile.target.start, tile.target.stop) for tile in grid.time] == [
        (0, 73),
        (48, 129),
        (104, 185),
        (160, 241),
    ]
    np.testing.assert_allclose(grid.time[1].mask[:3], [0, 0.04, 0.08], atol=1e-7)
    np.testing.assert_allclose(grid.time[1].mask[-3:], [0.12, 0.08, 0.04], atol=1e-7)


def test_masks() -> None:
    np.testing.assert_allclose(trapezoidal_mask(5, 2, 1, False), [1 / 3, 2 / 3, 1, 1, 0.5])
    np.testing.assert_allclose(trapezoidal_mask(5, 2, 0, True), [0, 0.5, 1, 1, 1])


@pytest.mark.parametrize(
    ("size", "tile"), [((1024, 1536), (512, 768)), ((1088, 1920), (448, 768)), ((704, 1280), (416, 768))]
)
def test_automatic_tiles_have_the_shape_of_the_clip(size: tuple[int, int], tile: tuple[int, int]) -> None:
    config = TileSizeConfig.auto(height=size[0], width=size[1], scale_factors=VIDEO_SCALE_FACTORS)
    assert (config.height.tile_size, config.width.tile_size) == tile
    assert config.frames == DimensionSizeConfig(80, 24)
    assert config.height.overlap == config.width.overlap == 64


@quick
@given(height=st.integers(1, 80), width=st.integers(1, 80), tile=axes(32))
def test_tiles_from_the_long_side_fit_the_grid(height: int, width: int, tile: DimensionSizeConfig) -> None:
    config = TileSizeConfig.from_long_side(
        long_side=tile, height=height * 32, width=width * 32, scale_factors=VIDEO_SCALE_FACTORS
    )
    config.validate(VIDEO_SCALE_FACTORS)
    assert max(config.height.tile_size, config.width.tile_size) == tile.tile_size
    assert not config.frames.is_tiled()


@pytest.mark.parametrize("size", [(-1, 0), (32, -1), (0, 8), (32, 32), (32, 40)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError):
        DimensionSizeConfig(*size)


@pytest.mark.parametrize(
    "config",
    [
        TileSizeConfig(frames=DimensionSizeConfig(8, 0)),
        TileSizeConfig(frames=DimensionSizeConfig(20, 8)),
        TileSizeConfig(height=DimensionSizeConfig(64, 16)),
        TileSizeConfig(width=DimensionSizeConfig(100, 32)),
    ],
)
def test_sizes_off_the_grid_are_refused(config: TileSizeConfig) -> None:
    with pytest.raises(ConfigError, match="multiples of"):
        prepare_tiles_for_decoding((9, 9, 9), config, VIDEO_SCALE_FACTORS)


@pytest.mark.parametrize(
    "config",
    [TileSizeConfig(frames=DimensionSizeConfig(80, 8)), TileSizeConfig(width=DimensionSizeConfig(128, 32))],
)
def test_encoding_needs_larger_overlaps(config: TileSizeConfig) -> None:
    with pytest.raises(ConfigError, match="overlap by"):
        prepare_tiles_for_encoding((97, 512, 512), config, VIDEO_SCALE_FACTORS)


def test_a_clip_off_the_grid_is_refused() -> None:
    config = TileSizeConfig.default()
    config.validate(VIDEO_SCALE_FACTORS, VideoPixelShape(1, 97, 512, 768, 24))
    for frames, height, width in [(96, 512, 768), (97, 500, 768), (97, 512, 770)]:
        with pytest.raises(ConfigError, match="a clip must have"):
            config.validate(VIDEO_SCALE_FACTORS, VideoPixelShape(1, frames, height, width, 24))


def test_from_long_side_needs_a_size_and_a_clip() -> None:
    for side, height in [(DimensionSizeConfig(), 64), (DimensionSizeConfig(64, 32), 0)]:
        with pytest.raises(ConfigError, match="from_long_side"):
            TileSizeConfig.from_long_side(
                long_side=side, height=height, width=64, scale_factors=VIDEO_SCALE_FACTORS
            )


def test_chunks_are_counted_in_steps() -> None:
    assert TileSizeConfig.default().video_chunks_number(121) == 3
    assert TileSizeConfig().video_chunks_number(121) == 1
