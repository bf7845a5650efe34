import mlx.core as mx
import numpy as np
import pytest
from ltx_models.video_vae.blocks import (
    DepthToSpaceUpsample,
    ResnetBlock3D,
    SpaceToDepthDownsample,
    UNetMidBlock3D,
)
from ltx_models.video_vae.config import Stride
from ltx_models.video_vae.ops import depth_to_space, space_to_depth
from ltx_models.video_vae.padding import norm_act

STRIDES = [(1, 2, 2), (2, 1, 1), (2, 2, 2)]


def silence(block: SpaceToDepthDownsample | DepthToSpaceUpsample) -> None:
    """Leave the skip branch alone."""
    block.conv.conv.weight = mx.zeros_like(block.conv.conv.weight)
    block.conv.conv.bias = mx.zeros_like(block.conv.conv.bias)


@pytest.mark.parametrize("stride", STRIDES)
def test_downsampling_skips_with_means_of_consecutive_channels(stride: Stride) -> None:
    block = SpaceToDepthDownsample(4, 8, stride, "zeros")
    silence(block)
    x = mx.random.normal((1, 3, 4, 6, 4))
    result = block(x, True)
    if stride[0] == 2:
        x = mx.concatenate([x[:, :1], x], axis=1)
    deep = np.array(space_to_depth(x, stride))
    size = deep.shape[-1] // 8
    for channel in range(8):
        want = deep[..., channel * size : (channel + 1) * size].mean(-1)
        np.testing.assert_allclose(np.array(result[..., channel]), want, atol=1e-6)


@pytest.mark.parametrize("stride", STRIDES)
def test_upsampling_skips_with_its_channels_repeated_as_a_whole(stride: Stride) -> None:
    block = DepthToSpaceUpsample(16, 8, stride, True, "zeros")
    silence(block)
    x = mx.random.normal((1, 3, 2, 2, 16))
    skip = np.array(depth_to_space(x, stride))[:, stride[0] - 1 :]
    want = np.tile(skip, 8 // skip.shape[-1])
    np.testing.assert_array_equal(np.array(block(x, False)), want)


def test_the_norm_is_over_channels() -> None:
    x = 10 * np.random.default_rng(0).normal(size=(1, 2, 2, 2, 6)).astype(np.float32)
    normed = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(np.array(norm_act(mx.array(x))), normed / (1 + np.exp(-normed)), atol=1e-5)


def test_residual_blocks_add_to_their_input() -> None:
    block = ResnetBlock3D(3, "zeros")
    block.conv2.conv.weight = mx.zeros_like(block.conv2.conv.weight)
    block.conv2.conv.bias = mx.ones(3)
    x = mx.random.normal((1, 2, 3, 3, 3))
    assert mx.array_equal(block(x, True), x + 1)
    chain = UNetMidBlock3D(3, 2, "zeros")
    assert mx.array_equal(chain(x, True), chain.res_blocks[1](chain.res_blocks[0](x, True), True))
