"""Quantised weights: their error, their form in files, and which weights of a transformer they are."""

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError
from ltx_loaders import KeyMap, LoaderError, QuantizationPolicy, evaluate, load_weights, quantize_module
from ltx_loaders.quantize import (
    MODES,
    QuantizationSpec,
    dequantized,
    quantize_weight,
    quantized_layer,
    read_spec,
)
from ltx_models.quantized import QuantizedLinear
from mlx.utils import tree_flatten

SPECS = [
    QuantizationSpec(bits, group, mode)
    for mode, (groups, all_bits) in MODES.items()
    for group in groups
    for bits in all_bits
]
specs = st.sampled_from(SPECS)


def error(weight: mx.array, parameters: dict[str, mx.array], spec: QuantizationSpec) -> float:
    layer = quantized_layer(nn.Linear(weight.shape[1], weight.shape[0]), spec, parameters)
    difference = dequantized(layer) - weight
    return float(mx.linalg.norm(difference) / mx.linalg.norm(weight))


@settings(max_examples=50, deadline=None)
@given(spec=specs, rows=st.integers(1, 5), groups=st.integers(1, 4), seed=st.integers(0, 99))
def test_no_worse_than_mlx_and_the_form_tells_all(
    spec: QuantizationSpec, rows: int, groups: int, seed: int
) -> None:
    weight = mx.random.normal((rows, groups * 128), key=mx.random.key(seed)).astype(mx.bfloat16)
    made = quantize_weight(weight, spec, mx.bfloat16)
    assert read_spec(weight.shape, made) == spec
    names = ("weight", "scales", "biases")
    theirs = mx.quantize(weight, spec.group_size, spec.bits, mode=spec.mode)
    assert {k: (v.shape, v.dtype) for k, v in made.items()} == {
        k: (v.shape, v.dtype) for k, v in zip(names, theirs, strict=False)
    }
    wanted = weight.astype(mx.float32)
    mlx = error(wanted, dict(zip(names, theirs, strict=False)), spec)
    assert error(wanted, made, spec) <= mlx * 1.001


@pytest.mark.parametrize(("bits", "limit"), [(8, 0.006), (4, 0.1)])
def test_errors_of_normal_weights(bits: int, limit: float) -> None:
    weight = mx.random.normal((64, 512), key=mx.random.key(0))
    assert (
        error(weight, quantize_weight(weight, QuantizationSpec(bits), mx.bfloat16), QuantizationSpec(bits))
        < limit
    )


@pytest.mark.parametrize("spec", [QuantizationSpec(8), QuantizationSpec(4)], ids=str)
@pytest.mark.parametrize("value", [0.0, 3.0, -1e-30, 1e30])
def test_constant_weights_are_exact(spec: QuantizationSpec, value: float) -> None:
    weight = mx.full((2, 128), value).astype(mx.bfloat16).astype(mx.float32)
    layer = quantized_layer(nn.Linear(128, 2), spec, quantize_weight(weight, spec, mx.float32))
    np.testing.assert_allclose(dequantized(layer), weight, rtol=1e-2, atol=1e-30)


@pytest.mark.parametrize(
    ("bits", "group", "mode"), [(8, 48, "affine"), (7, 64, "affine"), (8, 64, "mxfp8"), (4, 32, "x")]
)
def test_what_mlx_cannot_do_is_refused(bits: int, group: int, mode: str) -> None:
    with pytest.raises(ConfigError, match="not supported; known are affine: 8, 4"):
        QuantizationSpec(bits, group, mode)
    with pytest.raises(ConfigError, match="choose 8, 4, mxfp8, mxfp4, nvfp4"):
        QuantizationPolicy.of(5)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_v, self.to_gate_logits = nn.Linear(64, 8), nn.Linear(64, 8), nn.Linear(64, 2)
        self.to_k = nn.Linear(24, 8)
        self.q_norm = nn.RMSNorm(64)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn1 = Attention()
        self.scale_shift_table = mx.zeros((6, 64))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patchify_proj = nn.Linear(64, 64)
        self.transformer_blocks = [Block() for _ in range(3)]


def bits_of(network: nn.Module) -> dict[str, int]:
    return {path: layer.bits for path, layer in network.named_modules() if isinstance(layer, QuantizedLinear)}


def test_the_policy_keeps_what_is_sensitive() -> None:
    network = Transformer()
    assert quantize_module(network, QuantizationPolicy.of(4), 3) == 6
    evaluate(network)
    queries = {f"transformer_blocks.{n}.attn1.to_q": 4 if n == 1 else 8 for n in range(3)}
    assert bits_of(network) == queries | {f"transformer_blocks.{n}.attn1.to_v": 8 for n in range(3)}
    other = Transformer()
    assert quantize_module(other, QuantizationPolicy.of("nvfp4"), 3) == 6
    assert other.transformer_blocks[1].attn1.to_q.mode == "nvfp4"
    assert other.transformer_blocks[0].attn1.to_q.mode == "affine"


def test_a_block_alone_is_quantised_as_in_the_network() -> None:
    network = Transformer()
    block = Block()
    block.update(network.transformer_blocks[1].parameters())
    quantize_module(network, QuantizationPolicy.of(4), 3)
    quantize_module(block, QuantizationPolicy.of(4), 3, "transformer_blocks.1.")
    want = dict(tree_flatten(network.transformer_blocks[1].parameters()))
    for name, value in tree_flatten(block.parameters()):
        np.testing.assert_array_equal(value, want[name], err_msg=name)


@settings(max_examples=20, deadline=None)
@given(spec=specs, dtype=st.sampled_from([mx.float32, mx.bfloat16]))
def test_quantised_files_load(spec: QuantizationSpec, dtype: mx.Dtype) -> None:
    weight = mx.random.normal((6, 128), key=mx.random.key(1))
    tensors = {f"net.proj.{key}": value for key, value in quantize_weight(weight, spec, mx.bfloat16).items()}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.proj = nn.Linear(128, 6)

    net = Net()
    load_weights(net, tensors | {"net.proj.bias": mx.zeros(6)}, KeyMap({"net.": ""}), dtype, "file")
    assert (net.proj.bits, net.proj.group_size, net.proj.mode) == (spec.bits, spec.group_size, spec.mode)
    assert net.proj.bias.dtype == dtype
    np.testing.assert_allclose(
        dequantized(net.proj),
        dequantized(quantized_layer(nn.Linear(128, 6), spec, quantize_weight(weight, spec, mx.float32))),
    )


@settings(max_examples=100, deadline=None)
@given(data=st.data(), spec=specs)
def test_other_sizes_are_errors(data: st.DataObject, spec: QuantizationSpec) -> None:
    made = quantize_weight(mx.random.normal((4, 128)), spec, mx.bfloat16)
    key = data.draw(st.sampled_from(sorted(made)))
    sides = st.lists(st.integers(0, 9), min_size=0, max_size=3).map(tuple)
    shape = data.draw(sides.filter(lambda shape: shape != made[key].shape))
    dtype = data.draw(st.sampled_from([mx.uint32, mx.uint8, mx.bfloat16]))
    changed = made | {key: mx.zeros(shape, dtype)}
    try:
        read_spec((4, 128), changed)
    except LoaderError as refused:
        assert "for a weight of (4, 128) the file has" in str(refused)  # noqa: PT017
