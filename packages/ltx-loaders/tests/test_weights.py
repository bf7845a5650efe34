"""Filling networks: layouts, prefixes, renames, and the errors that name what does not fit."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_loaders import COMPONENTS, KeyMap, LoaderError, load_weights, parse_version
from mlx.utils import tree_flatten


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(3, 4)
        self.blocks = [nn.Conv2d(2, 5, 3), nn.Conv3d(2, 3, (1, 2, 3))]
        self.up = nn.ConvTranspose1d(4, 6, 5)
        self.mean_of_means = mx.zeros((7,))


KEYS = KeyMap(
    {"net.": ""}, exclude=("net.other.",), rename={"mean-of-means": "mean_of_means"}, ignore=("unused*",)
)


def official() -> dict[str, mx.array]:
    """Tensors of `Net` in the official layout."""
    shapes = {
        "net.proj.weight": (4, 3),
        "net.proj.bias": (4,),
        "net.blocks.0.weight": (5, 2, 3, 3),
        "net.blocks.0.bias": (5,),
        "net.blocks.1.weight": (3, 2, 1, 2, 3),
        "net.blocks.1.bias": (3,),
        "net.up.weight": (4, 6, 5),
        "net.up.bias": (6,),
        "net.mean-of-means": (7,),
    }
    random = np.random.default_rng(0)
    return {name: mx.array(random.normal(size=shape).astype(np.float32)) for name, shape in shapes.items()}


def test_layouts_prefixes_and_renames() -> None:
    net, tensors = Net(), official()
    extra = {"net.unused_thing": mx.zeros(1), "net.other.x": mx.zeros(1), "elsewhere.x": mx.zeros(1)}
    load_weights(net, tensors | extra, KEYS, mx.float32, "file")
    want = {name: np.array(tensor) for name, tensor in tensors.items()}
    np.testing.assert_array_equal(net.proj.weight, want["net.proj.weight"])
    np.testing.assert_array_equal(net.blocks[0].weight, want["net.blocks.0.weight"].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(net.blocks[1].weight, want["net.blocks.1.weight"].transpose(0, 2, 3, 4, 1))
    np.testing.assert_array_equal(net.up.weight, want["net.up.weight"].transpose(1, 2, 0))
    np.testing.assert_array_equal(net.mean_of_means, want["net.mean-of-means"])


def test_the_loaded_convolutions_convolve() -> None:
    """A transposed convolution against its definition: output[t * stride + k] += x[t] @ w[:, :, k]."""
    net, tensors = Net(), official()
    load_weights(net, tensors, KEYS, mx.float32, "file")
    x = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    weight = np.array(tensors["net.up.weight"])
    want = np.tile(np.array(tensors["net.up.bias"]), (6, 1))
    for t in range(2):
        for k in range(5):
            want[t + k] += x[t] @ weight[:, :, k]
    np.testing.assert_allclose(net.up(mx.array(x)[None])[0], want, rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(sorted(official())), dtype=st.sampled_from([mx.float32, mx.bfloat16]))
def test_every_missing_tensor_is_named(name: str, dtype: mx.Dtype) -> None:
    tensors = official()
    del tensors[name]
    with pytest.raises(LoaderError, match=rf"1 missing \({name}\)"):
        load_weights(Net(), tensors, KEYS, dtype, "file")


def test_unexpected_and_misshapen_tensors() -> None:
    with pytest.raises(LoaderError, match=r"1 unexpected \(net\.stranger\)"):
        load_weights(Net(), official() | {"net.stranger": mx.zeros(2)}, KEYS, mx.float32, "file")
    with pytest.raises(LoaderError, match=r"net.up.weight is 4x6x4 where the config asks for 4x6x5"):
        load_weights(Net(), official() | {"net.up.weight": mx.zeros((4, 6, 4))}, KEYS, mx.float32, "file")
    many = {f"net.extra{n}": mx.zeros(1) for n in range(9)}
    with pytest.raises(LoaderError, match=r"9 unexpected .* and 4 more"):
        load_weights(Net(), official() | many, KEYS, mx.float32, "file")


def test_floating_point_is_cast_and_integers_are_not() -> None:
    net = Net()
    net.steps = mx.zeros((2,), mx.int32)
    steps = mx.array([1, 2], mx.int32)
    load_weights(net, official() | {"net.steps": steps}, KEYS, mx.bfloat16, "file")
    assert net.steps.dtype == mx.int32
    assert net.proj.weight.dtype == mx.bfloat16


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from([name for name, _ in tree_flatten(Net().parameters())]))
def test_file_name_inverts_module_name(name: str) -> None:
    assert KEYS.module_name(KEYS.file_name(name)) == name


@pytest.mark.parametrize(
    ("text", "version"),
    [("2.3.0", (2, 3, 0)), ("2.3.rc1", (2, 3)), ("2.4-rc2", (2, 4)), ("", ()), (None, ()), ("x", ())],
)
def test_versions(text: str | None, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("component", list(COMPONENTS))
@pytest.mark.parametrize("name", ["per_channel_statistics.mean_of_means", "conv_in.conv.weight"])
def test_names_of_statistics_and_weights(component: str, name: str) -> None:
    keys = COMPONENTS[component].keys
    if not any(name.startswith(target) for target in keys.prefixes.values()):
        return
    assert keys.module_name(keys.file_name(name)) == name
    if component in {"video_encoder", "video_decoder"} and "statistics" in name:
        assert keys.file_name(name) == "vae.per_channel_statistics.mean-of-means"
