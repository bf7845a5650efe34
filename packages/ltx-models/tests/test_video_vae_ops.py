import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ShapeError
from ltx_models.video_vae import PerChannelStatistics, convolution
from ltx_models.video_vae.convolution import CausalConv3d, convolve
from ltx_models.video_vae.ops import depth_to_space, patchify, space_to_depth, unpatchify

small = st.integers(1, 3)
quick = settings(max_examples=25, deadline=None)


@quick
@given(b=small, c=small, f=small, h=small, w=small, patch=st.sampled_from([1, 2, 4]))
def test_patchify_has_an_inverse(b: int, c: int, f: int, h: int, w: int, patch: int) -> None:
    pixels = mx.random.normal((b, c, f, h * patch, w * patch))
    patches = patchify(pixels, patch)
    assert patches.shape == (b, f, h, w, c * patch * patch)
    assert mx.array_equal(unpatchify(patches, patch), pixels)


def test_patch_channels_are_color_then_column_then_row() -> None:
    pixels = mx.arange(2 * 4 * 8).reshape(1, 2, 1, 4, 8)
    patches = patchify(pixels, 4)
    for color, column, row in [(0, 0, 1), (0, 1, 0), (1, 3, 2)]:
        channel = color * 16 + column * 4 + row
        assert patches[0, 0, 0, 1, channel] == pixels[0, color, 0, row, 4 + column]


@quick
@given(b=small, f=small, h=small, w=small, c=small, stride=st.tuples(*[st.integers(1, 3)] * 3))
def test_space_to_depth_has_an_inverse(
    b: int, f: int, h: int, w: int, c: int, stride: tuple[int, int, int]
) -> None:
    st_, sh, sw = stride
    x = mx.random.normal((b, f * st_, h * sh, w * sw, c))
    deep = space_to_depth(x, stride)
    assert deep.shape == (b, f, h, w, c * st_ * sh * sw)
    assert mx.array_equal(depth_to_space(deep, stride), x)


def test_depth_channels_are_channel_then_time_then_row_then_column() -> None:
    x = mx.random.normal((1, 2, 4, 6, 3))
    deep = space_to_depth(x, (2, 2, 2))
    for c, t, h, w in [(0, 0, 0, 1), (1, 0, 1, 0), (2, 1, 0, 1)]:
        assert deep[0, 0, 1, 2, ((c * 2 + t) * 2 + h) * 2 + w] == x[0, t, 2 + h, 4 + w, c]


@quick
@given(b=small, c=st.integers(1, 5), f=small, h=small, w=small)
def test_statistics_undo_each_other(b: int, c: int, f: int, h: int, w: int) -> None:
    statistics = PerChannelStatistics(c)
    statistics.mean_of_means = mx.random.normal((c,))
    statistics.std_of_means = mx.random.uniform(0.5, 2, (c,))
    latent = mx.random.normal((b, c, f, h, w))
    plain = statistics.un_normalize(latent)
    assert mx.allclose(plain[:, 0], latent[:, 0] * statistics.std_of_means[0] + statistics.mean_of_means[0])
    assert mx.allclose(statistics.normalize(plain), latent, atol=1e-5)


def test_statistics_keep_the_dtype_of_the_latent() -> None:
    latent = mx.ones((1, 2, 1, 1, 1), mx.bfloat16)
    assert PerChannelStatistics(2).un_normalize(latent).dtype == mx.bfloat16


@quick
@given(
    b=small,
    f=small,
    h=small,
    w=small,
    c=small,
    out=small,
    padding=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 2)),
    per_frame=st.booleans(),
)
def test_both_ways_to_convolve_agree(
    b: int, f: int, h: int, w: int, c: int, out: int, padding: tuple[int, int, int], per_frame: bool
) -> None:
    x, bias = mx.random.normal((b, f, h, w, c)), mx.random.normal((out,))
    weight = mx.random.normal((out, 3, 3, c) if per_frame else (out, 3, 3, 3, c))
    if per_frame:
        padding = (0, *padding[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "backend", lambda: "metal")
        built_in = convolve(x, weight, bias, padding)
        patch.setattr(convolution, "backend", lambda: "cpu")
        result = convolve(x, weight, bias, padding)
    assert result.shape == built_in.shape
    assert mx.allclose(result, built_in, atol=1e-4)


@quick
@given(f=small, h=st.integers(2, 4), w=st.integers(2, 4), causal=st.booleans(), reflect=st.booleans())
def test_padding_repeats_frames_and_pads_the_picture_as_told(
    f: int, h: int, w: int, causal: bool, reflect: bool
) -> None:
    conv = CausalConv3d(2, 3, "reflect" if reflect else "zeros")
    x = mx.random.normal((1, f, h, w, 2))
    padded = np.pad(np.array(x), [(0, 0), (2, 0) if causal else (1, 1), (0, 0), (0, 0), (0, 0)], mode="edge")
    around = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)]
    padded = np.pad(padded, around, mode="reflect") if reflect else np.pad(padded, around)
    want = mx.conv3d(mx.array(padded), conv.conv.weight) + conv.conv.bias
    assert mx.allclose(conv(x, causal), want, atol=1e-5)


def test_reflection_needs_two_positions() -> None:
    with pytest.raises(ShapeError, match="at least 2 x 2"):
        CausalConv3d(1, 1, "reflect")(mx.zeros((1, 1, 1, 4, 1)), False)


def test_convolutions_that_32_bits_cannot_index_are_refused() -> None:
    huge = mx.zeros((1, 2**11, 2**10, 2**10, 1))  # never computed
    with pytest.raises(ShapeError, match="tiles"):
        convolve(huge, mx.zeros((1, 3, 3, 3, 1)), mx.zeros(1), (1, 1, 1))
