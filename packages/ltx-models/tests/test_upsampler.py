from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError, ShapeError
from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig, upsample_video
from ltx_models.upsampler.model import BlurDownsample, GroupNorm
from ltx_models.video_vae import PerChannelStatistics
from mlx.utils import tree_flatten

SECTION: dict[str, Any] = {
    "_class_name": "LatentUpsampler",
    "in_channels": 2,
    "mid_channels": 32,
    "num_blocks_per_stage": 1,
    "dims": 3,
}
TEMPORAL = {"spatial_upsample": False, "temporal_upsample": True}


def build(**changes: Any) -> LatentUpsampler:
    upsampler = LatentUpsampler(LatentUpsamplerConfig.from_config(SECTION | changes))
    mx.eval(upsampler.parameters())
    return upsampler


@settings(max_examples=12, deadline=None)
@given(b=st.integers(1, 2), f=st.integers(1, 3), h=st.integers(1, 4), w=st.integers(1, 4), data=st.data())
def test_sizes(b: int, f: int, h: int, w: int, data: st.DataObject) -> None:
    changes, size = data.draw(
        st.sampled_from(
            [
                ({}, (f, 2 * h, 2 * w)),
                ({"rational_resampler": True}, (f, 2 * h, 2 * w)),
                ({"rational_resampler": True, "spatial_scale": 1.5}, (f, (3 * h + 1) // 2, (3 * w + 1) // 2)),
                (
                    {"rational_resampler": True, "spatial_scale": 0.75},
                    (f, (3 * h + 3) // 4, (3 * w + 3) // 4),
                ),
                (TEMPORAL, (2 * f - 1, h, w)),
                ({"temporal_upsample": True}, (2 * f - 1, 2 * h, 2 * w)),
            ]
        )
    )
    assert build(**changes)(mx.random.normal((b, 2, f, h, w))).shape == (b, 2, *size)


def test_trees_have_the_official_names() -> None:
    names = {name for name, _ in tree_flatten(build().parameters())}
    assert {
        "initial_norm.weight",
        "res_blocks.0.norm2.bias",
        "upsampler.0.weight",
        "final_conv.bias",
    } <= names
    names = {name for name, _ in tree_flatten(build(rational_resampler=True).parameters())}
    assert {"upsampler.conv.weight", "upsampler.blur_down.kernel"} <= names


@settings(max_examples=20, deadline=None)
@given(h=st.integers(1, 7), w=st.integers(1, 7), stride=st.integers(2, 4))
def test_blur_is_a_strided_depthwise_convolution(h: int, w: int, stride: int) -> None:
    blur = BlurDownsample(stride)
    blur.kernel = mx.random.uniform(shape=(1, 1, 5, 5))
    x = mx.random.normal((1, 2, h, w, 3))
    weight = mx.broadcast_to(blur.kernel[0, :, :, :, None], (3, 5, 5, 1))
    want = mx.conv2d(x[0], weight, stride=stride, padding=2, groups=3)
    assert mx.allclose(blur(x)[0], want, atol=1e-5)
    assert mx.array_equal(BlurDownsample(1)(x), x)


def test_group_norm_is_over_groups_of_channels_and_all_positions() -> None:
    upsampler = build(mid_channels=64)
    x = mx.random.normal((1, 2, 3, 4, 64))
    grouped = np.array(x).reshape(24, 32, 2)
    mean, var = grouped.mean((0, 2), keepdims=True), grouped.var((0, 2), keepdims=True)
    want = ((grouped - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)
    np.testing.assert_allclose(np.array(upsampler.initial_norm(x)), want, atol=1e-4)


def test_upsample_video_works_on_latents_as_they_are() -> None:
    upsampler, statistics = build(), PerChannelStatistics(2)
    statistics.mean_of_means, statistics.std_of_means = mx.array([1.0, -2.0]), mx.array([0.5, 3.0])
    latent = mx.random.normal((1, 2, 2, 3, 3))
    want = statistics.normalize(upsampler(statistics.un_normalize(latent)))
    assert mx.array_equal(upsample_video(latent, upsampler, statistics), want)


def test_results_do_not_depend_on_when_they_are_evaluated() -> None:
    upsampler, latent = build(), mx.random.normal((1, 2, 2, 3, 3))
    want = upsampler(latent)
    upsampler.eval_every = 1
    assert mx.array_equal(upsampler(latent), want)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "Other"}, "_class_name"),
        ({"dims": 2}, "dims"),
        ({"spatial_upsample": False}, "spatial_upsample"),
        ({"mid_channels": 48}, "mid_channels"),
        ({"spatial_scale": 1.5}, "spatial_scale"),
        ({"spatial_scale": 3.0, "rational_resampler": True}, "spatial_scale"),
    ],
)
def test_what_the_network_cannot_honour_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LatentUpsamplerConfig.from_config(SECTION | changes)


def test_unknown_axes_are_refused() -> None:
    for shape in [(2, 2, 3, 3), (1, 3, 2, 3, 3)]:
        with pytest.raises(ShapeError, match="upsampler takes"):
            build()(mx.zeros(shape))


def test_group_norm_of_many_numbers() -> None:
    """MLX's own norm has an error of 1e-5 here on CPUs, and of 2e-4 for the 1e6 numbers of a real latent."""
    norm = GroupNorm(32)
    x = mx.random.normal((1, 10, 100, 100, 32), key=mx.random.key(0)) + 0.5
    exact = np.array(x).astype(np.float64)
    exact -= exact.mean(axis=(1, 2, 3), keepdims=True)
    exact /= np.sqrt(np.square(exact).mean(axis=(1, 2, 3), keepdims=True) + 1e-5)
    assert np.linalg.norm(np.array(norm(x)) - exact) / np.linalg.norm(exact) < 1e-6
