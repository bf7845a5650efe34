from itertools import accumulate

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError, ShapeError
from ltx_models.video_vae import (
    DimensionSizeConfig,
    TileSizeConfig,
    VideoDecoder,
    VideoEncoder,
    VideoVAEConfig,
    to_uint8,
)
from ltx_models.video_vae.blending import stream_tiles
from ltx_models.video_vae.tile_grid import prepare_tiles_for_decoding
from mlx.utils import tree_flatten

quick = settings(max_examples=10, deadline=None)


def config(**changes: object) -> VideoVAEConfig:
    """8 frames, 32 x 32 pixels per latent, as released models have them; widths of a few channels."""
    section = {
        "latent_channels": 4,
        "decoder_base_channels": 2,
        "timestep_conditioning": False,
        "encoder_blocks": [
            ["res_x", 1],
            ["compress_space_res", {"multiplier": 1}],
            ["compress_time_res", {"multiplier": 2}],
            ["compress_all_res", {"multiplier": 2}],
            ["compress_all_res", {"multiplier": 1}],
        ],
        "decoder_blocks": [
            ["res_x", 1],
            ["compress_space", {"multiplier": 1}],
            ["compress_time", {"multiplier": 2}],
            ["compress_all", {"multiplier": 2, "residual": True}],
            ["compress_all", {"multiplier": 2}],
        ],
    }
    return VideoVAEConfig.from_config(section | changes)


@pytest.fixture(scope="module")
def encoder() -> VideoEncoder:
    mx.random.seed(0)
    return VideoEncoder(config())


@pytest.fixture(scope="module")
def decoder() -> VideoDecoder:
    mx.random.seed(1)
    return VideoDecoder(config())


def test_trees_have_the_official_names(encoder: VideoEncoder, decoder: VideoDecoder) -> None:
    names = {name for name, _ in tree_flatten(encoder.parameters())}
    assert {
        "conv_in.conv.weight",
        "down_blocks.0.res_blocks.0.conv1.conv.weight",
        "down_blocks.1.conv.conv.bias",
        "conv_out.conv.bias",
        "per_channel_statistics.mean_of_means",
        "per_channel_statistics.std_of_means",
    } <= names
    names = {name for name, _ in tree_flatten(decoder.parameters())}
    assert {"up_blocks.0.conv.conv.weight", "up_blocks.4.res_blocks.0.conv2.conv.weight"} <= names


@quick
@given(
    b=st.integers(1, 2), f=st.integers(0, 2), h=st.integers(1, 2), w=st.integers(1, 2), more=st.integers(0, 7)
)
def test_encoder_shapes(encoder: VideoEncoder, b: int, f: int, h: int, w: int, more: int) -> None:
    clip = mx.random.uniform(-1, 1, (b, 3, 8 * f + 1 + more, 32 * h, 32 * w))
    latent = encoder(clip)
    assert latent.shape == (b, 4, f + 1, h, w)
    assert mx.array_equal(latent, encoder(clip[:, :, : 8 * f + 1]))


@quick
@given(b=st.integers(1, 2), f=st.integers(1, 3), h=st.integers(2, 3), w=st.integers(2, 3))
def test_decoder_shapes(decoder: VideoDecoder, b: int, f: int, h: int, w: int) -> None:
    assert decoder(mx.random.normal((b, 4, f, h, w))).shape == (b, 3, 8 * (f - 1) + 1, 32 * h, 32 * w)


def test_encoding_is_causal(encoder: VideoEncoder) -> None:
    clip = mx.random.uniform(-1, 1, (1, 3, 17, 32, 32))
    latent = encoder(clip)
    for first in range(17):
        changed = mx.concatenate([clip[:, :, :first], -clip[:, :, first:]], axis=2)
        before = (first + 7) // 8  # latents that end before the first changed frame
        result = encoder(changed)
        assert mx.allclose(result[:, :, :before], latent[:, :, :before], atol=1e-6)
        assert not mx.allclose(result[:, :, before:], latent[:, :, before:], atol=1e-6)


def test_a_causal_decoder_does_not_look_ahead(decoder: VideoDecoder) -> None:
    latent = mx.random.normal((1, 4, 3, 2, 2))
    changed = mx.concatenate([latent[:, :, :2], -latent[:, :, 2:]], axis=2)
    causal = VideoDecoder(config(causal_decoder=True))
    assert mx.allclose(causal(latent)[:, :, :9], causal(changed)[:, :, :9], atol=1e-6)
    assert not mx.allclose(decoder(latent)[:, :, :9], decoder(changed)[:, :, :9], atol=1e-6)


def test_results_do_not_depend_on_when_they_are_evaluated(
    encoder: VideoEncoder, decoder: VideoDecoder
) -> None:
    clip, latent = mx.random.uniform(-1, 1, (1, 3, 9, 32, 32)), mx.random.normal((1, 4, 2, 2, 2))
    want = encoder(clip), decoder(latent)
    try:
        encoder.eval_every = decoder.eval_every = 2
        assert mx.array_equal(encoder(clip), want[0])
        assert mx.array_equal(decoder(latent), want[1])
    finally:
        encoder.eval_every = decoder.eval_every = 0


def test_unknown_axes_are_refused(encoder: VideoEncoder, decoder: VideoDecoder) -> None:
    for shape in [(3, 9, 32, 32), (1, 4, 9, 32, 32), (1, 3, 9, 33, 32), (1, 3, 9, 32, 48)]:
        with pytest.raises(ShapeError, match="video encoder takes"):
            encoder(mx.zeros(shape))
    for shape in [(4, 2, 2, 2), (1, 3, 2, 2, 2), (1, 4, 0, 2, 2)]:
        with pytest.raises(ShapeError, match="video decoder takes"):
            decoder(mx.zeros(shape))
    with pytest.raises(ShapeError, match="2 x 2"):
        decoder(mx.zeros((1, 4, 1, 1, 2)))
    with pytest.raises(ShapeError, match="one clip"):
        decoder.decode_video(mx.zeros((2, 4, 1, 2, 2)))


@pytest.mark.parametrize("tiling", [TileSizeConfig(), TileSizeConfig.default()])
def test_one_tile_is_no_tile(encoder: VideoEncoder, decoder: VideoDecoder, tiling: TileSizeConfig) -> None:
    latent, clip = mx.random.normal((1, 4, 3, 2, 3)), mx.random.uniform(-1, 1, (1, 3, 9, 32, 64))
    (chunk,) = decoder.tiled_decode(latent, tiling)
    assert mx.array_equal(chunk, decoder(latent))
    assert mx.array_equal(encoder.tiled_encode(clip, tiling), encoder(clip))


def test_tiled_encoding_is_exact_where_no_other_tile_reaches(encoder: VideoEncoder) -> None:
    clip = mx.random.uniform(-1, 1, (1, 3, 1, 32, 256))
    tiled = encoder.tiled_encode(clip, TileSizeConfig(width=DimensionSizeConfig(128, 64)))
    whole = encoder(clip)
    assert tiled.shape == whole.shape
    for end in (0, -1):
        assert mx.allclose(tiled[..., end], whole[..., end], atol=1e-6)
    assert not mx.allclose(tiled, whole, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    frames=st.sampled_from([(0, 0), (16, 8), (24, 8), (24, 16), (32, 0)]),
    height=st.sampled_from([(0, 0), (64, 32), (96, 32)]),
    width=st.sampled_from([(0, 0), (64, 32), (96, 64)]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)),
)
def test_blending_gives_back_what_all_tiles_agree_on(
    frames: tuple[int, int], height: tuple[int, int], width: tuple[int, int], size: tuple[int, int, int]
) -> None:
    """With a "network" that copies its part of a known clip, tiles give that clip, whatever their layout."""
    tiling = TileSizeConfig(*(DimensionSizeConfig(*axis) for axis in (frames, height, width)))
    grid = prepare_tiles_for_decoding(size, tiling, config().scale_factors)
    clip = mx.random.normal((1, 2, 8 * (size[0] - 1) + 1, 32 * size[1], 32 * size[2]))
    by_source = [{(tile.source.start, tile.source.stop): tile.target for tile in axis} for axis in grid]

    def run(tile: tuple[slice, slice, slice]) -> mx.array:
        target = (axis[part.start, part.stop] for axis, part in zip(by_source, tile, strict=True))
        return clip[:, :, *target]

    chunks = list(stream_tiles(grid, run, mx.float32))
    assert len(chunks) == len(grid.time)
    ends = list(accumulate(chunk.shape[2] for chunk in chunks))
    assert ends[:-1] == [tile.target.start for tile in grid.time[1:]]
    assert mx.allclose(mx.concatenate(chunks, axis=2), clip, atol=1e-5)


def test_chunks_are_computed_when_they_are_asked_for(decoder: VideoDecoder) -> None:
    tiling = TileSizeConfig(frames=DimensionSizeConfig(24, 8))
    grid = prepare_tiles_for_decoding((7, 2, 2), tiling, decoder.video_downscale_factors)
    runs: list[int] = []

    def run(tile: tuple[slice, slice, slice]) -> mx.array:
        runs.append(tile[0].start)
        return mx.zeros((1, 3, 8 * (tile[0].stop - tile[0].start - 1) + 1, 64, 64))

    for count, _ in enumerate(stream_tiles(grid, run, mx.float32), start=1):
        assert len(runs) == count


def test_frames_of_a_clip(decoder: VideoDecoder) -> None:
    latent = 3 * mx.random.normal((1, 4, 3, 2, 2))
    frames = mx.concatenate(list(decoder.decode_video(latent)))
    want = np.clip((np.array(decoder(latent))[0].transpose(1, 2, 3, 0) + 1) / 2, 0, 1)
    np.testing.assert_allclose(np.array(frames), want, atol=1e-6)
    tiled = list(decoder.decode_video(latent, TileSizeConfig(frames=DimensionSizeConfig(16, 8))))
    assert all(chunk.shape[0] for chunk in tiled)
    assert mx.concatenate(tiled).shape == frames.shape


def test_bytes_are_truncated() -> None:
    assert to_uint8(mx.array([0.0, 0.999 / 255, 1.999 / 255, 1.0])).tolist() == [0, 0, 1, 255]


def test_tiles_are_checked_before_anything_is_computed(encoder: VideoEncoder, decoder: VideoDecoder) -> None:
    with pytest.raises(ConfigError, match="multiples of"):
        decoder.tiled_decode(mx.zeros((1, 4, 2, 2, 2)), TileSizeConfig(frames=DimensionSizeConfig(20, 0)))
    with pytest.raises(ConfigError, match="overlap by"):
        encoder.tiled_encode(mx.zeros((1, 3, 9, 64, 64)), TileSizeConfig(width=DimensionSizeConfig(64, 32)))


def test_half_precision_weights_keep_the_dtype_of_the_latent() -> None:
    decoder = VideoDecoder(config())
    decoder.set_dtype(mx.bfloat16)
    assert decoder(mx.zeros((1, 4, 1, 2, 2))).dtype == mx.float32
