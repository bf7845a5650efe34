"""Clips that go through the networks in chunks of frames come out as they do in one piece."""

from collections.abc import Iterator
from itertools import pairwise

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_models.video_vae import VideoDecoder, VideoEncoder, VideoVAEConfig
from ltx_models.video_vae.blocks import DepthToSpaceUpsample, ResnetBlock3D, SpaceToDepthDownsample
from ltx_models.video_vae.chunks import (
    Layer,
    chunk_starts,
    decoder_arrays,
    encoder_arrays,
    in_chunks,
    in_one,
    list_layers,
)
from ltx_models.video_vae.convolution import CausalConv3d
from mlx.utils import tree_flatten

quick = settings(max_examples=20, deadline=None)


def config(**changes: object) -> VideoVAEConfig:
    section = {
        "latent_channels": 4,
        "decoder_base_channels": 4,
        "timestep_conditioning": False,
        "encoder_blocks": [
            ["res_x", 1],
            ["compress_space_res", {"multiplier": 1}],
            ["compress_time_res", {"multiplier": 2}],
            ["compress_all_res", {"multiplier": 2}],
            ["compress_all_res", {"multiplier": 1}],
        ],
        "decoder_blocks": [
            ["res_x", 2],
            ["compress_space", {"multiplier": 1}],
            ["compress_time", {"multiplier": 2}],
            ["res_x", 1],
            ["compress_all", {"multiplier": 2, "residual": True}],
            ["compress_all", {"multiplier": 2}],
        ],
    }
    return VideoVAEConfig.from_config(section | changes)


LAYERS: list[Layer] = [
    CausalConv3d(8, 8, "zeros"),
    CausalConv3d(8, 8, "reflect", activate=True),
    ResnetBlock3D(8, "zeros"),
    DepthToSpaceUpsample(8, 8, (2, 1, 1), True, "reflect"),
    DepthToSpaceUpsample(8, 8, (2, 2, 2), False, "zeros"),
    DepthToSpaceUpsample(8, 8, (1, 2, 2), False, "zeros"),
]


@quick
@given(
    chosen=st.lists(st.sampled_from(range(len(LAYERS))), min_size=1, max_size=4),
    cuts=st.sets(st.integers(1, 8), max_size=5),
    frames=st.integers(1, 9),
    batch=st.integers(1, 2),
    causal=st.booleans(),
)
def test_chunks_of_any_length(
    chosen: list[int], cuts: set[int], frames: int, batch: int, causal: bool
) -> None:
    layers = [LAYERS[index] for index in chosen]
    x = mx.random.normal((batch, frames, 2, 2, 8))
    starts = [0, *sorted(cut for cut in cuts if cut < frames)]
    chunks = list(in_chunks(layers, x, starts, causal))
    assert all(chunk.shape[1] for chunk in chunks)
    want = in_one(layers, x, causal)
    assert mx.allclose(mx.concatenate(chunks, axis=1), want, atol=1e-5, rtol=1e-4)


@quick
@given(pairs=st.integers(0, 4), cuts=st.sets(st.integers(1, 4), max_size=3))
def test_chunks_on_the_way_down(pairs: int, cuts: set[int]) -> None:
    layers: list[Layer] = [
        SpaceToDepthDownsample(4, 8, (2, 2, 2), "zeros"),
        CausalConv3d(8, 4, "zeros", activate=True),
    ]
    x = mx.random.normal((1, 1 + 2 * pairs, 4, 4, 4))
    starts = [0, *sorted(1 + 2 * (cut - 1) for cut in cuts if cut <= pairs)]
    chunks = list(in_chunks(layers, x, starts, True))
    assert mx.allclose(mx.concatenate(chunks, axis=1), in_one(layers, x, True), atol=1e-5)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("causal", [False, True])
def test_networks_in_chunks(padding: str, causal: bool) -> None:
    mx.random.seed(0)
    made = config(spatial_padding_mode=padding, causal_decoder=causal)
    encoder, decoder = VideoEncoder(made), VideoDecoder(made)
    clip, latent = mx.random.uniform(-1, 1, (1, 3, 41, 64, 64)), mx.random.normal((1, 4, 6, 2, 3))
    want = encoder(clip), decoder(latent)
    (one,) = decoder.chunked_decode(latent)
    assert mx.array_equal(one, want[1])
    for chunk_bytes in (2**13, 2**11, 4):
        encoder.chunk_bytes = decoder.chunk_bytes = chunk_bytes
        assert mx.allclose(encoder(clip), want[0], atol=1e-5)
        chunks = list(decoder.chunked_decode(latent))
        assert len(chunks) > 2
        assert mx.allclose(mx.concatenate(chunks, axis=2), want[1], atol=1e-5)
        assert mx.allclose(decoder(latent), want[1], atol=1e-5)
    encoder.chunk_bytes = decoder.chunk_bytes = 0
    assert mx.array_equal(decoder(latent), want[1])
    assert mx.array_equal(encoder(clip), want[0])


def sizes_seen(layers: list[Layer], x: mx.array, causal: bool) -> Iterator[int]:
    """Elements of the larger one of what each layer takes and of what its convolutions make."""
    for layer in layers:
        y = layer(x, causal)
        whole = y.size
        if isinstance(layer, DepthToSpaceUpsample):
            whole = layer.conv(x, causal).size
        if isinstance(layer, SpaceToDepthDownsample):
            whole = max(whole, x.size // x.shape[1] * (x.shape[1] + layer.stride[0] - 1))
        yield whole
        x = y


def test_arrays_are_as_large_as_was_worked_out() -> None:
    made = config()
    encoder, decoder = VideoEncoder(made), VideoDecoder(made)
    shape = (2, 4, 3, 2, 3)
    layers, sizes = list_layers(
        decoder.conv_in, decoder.up_blocks, decoder.conv_out, decoder_arrays(made, shape)
    )
    seen = list(sizes_seen(layers, mx.zeros((2, 3, 2, 3, 4)), False))
    assert seen[:-1] == sizes[:-1]
    clip = (1, 3, 17, 64, 96)
    layers, sizes = list_layers(
        encoder.conv_in, encoder.down_blocks, encoder.conv_out, encoder_arrays(made, clip)
    )
    seen = list(sizes_seen(layers, mx.zeros((1, 17, 16, 24, 48)), True))
    assert seen[:-1] == sizes[:-1]
    parameters: dict[str, mx.array] = dict(tree_flatten(decoder.parameters()))
    names = {name.split(".")[0] for name in parameters}
    assert names == {"conv_in", "up_blocks", "conv_out", "per_channel_statistics"}


@quick
@given(
    array=st.integers(1, 10**6),
    most=st.integers(1, 10**6),
    frames=st.integers(1, 200),
    multiple=st.sampled_from([1, 8]),
)
def test_chunks_have_the_size_that_was_asked_for(array: int, most: int, frames: int, multiple: int) -> None:
    starts = chunk_starts(array, most, frames, multiple)
    lengths = [end - start for start, end in pairwise([*starts, frames])]
    assert min(lengths) > 0
    if multiple > 1:
        assert all((start - 1) % multiple == 0 for start in starts[1:])
    elif max(lengths) > 1:
        assert max(lengths) * array / frames <= most + array / frames


def test_memory_does_not_grow_with_the_clip() -> None:
    decoder = VideoDecoder(config(latent_channels=8, decoder_base_channels=32))
    mx.eval(decoder.parameters())
    peaks = []
    for frames in (5, 15):
        decoder.chunk_bytes = 2**19
        latent = mx.random.normal((1, 8, frames, 2, 2))
        mx.eval(latent)
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        assert sum(chunk.shape[2] for chunk in decoder.chunked_decode(latent)) == 8 * frames - 7
        peaks.append(mx.get_peak_memory() - before)
    assert peaks[1] < 1.3 * peaks[0]
