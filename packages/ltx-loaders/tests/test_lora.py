"""LoRA fusion on a network of two linears."""

from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_loaders.errors import LoaderError
from ltx_loaders.lora import Lora, fuse_loras


class Network(nn.Module):
    def __init__(self, dtype: mx.Dtype = mx.float32) -> None:
        super().__init__()
        self.to_q = nn.Linear(4, 6)
        self.to_out = [nn.Linear(6, 4)]
        self.set_dtype(dtype)


def lora(seed: int, rank: int = 2, names: tuple[str, ...] = ("to_q", "to_out.0")) -> dict[str, mx.array]:
    sizes = {"to_q": (6, 4), "to_out.0": (4, 6)}
    tensors = {}
    for index, name in enumerate(names):
        key = mx.random.key(10 * seed + index)
        out, into = sizes[name]
        tensors[f"diffusion_model.{name}.lora_A.weight"] = mx.random.normal((rank, into), key=key)
        tensors[f"diffusion_model.{name}.lora_B.weight"] = mx.random.normal((out, rank), key=key)
    return tensors


def delta(tensors: dict[str, mx.array], name: str) -> mx.array:
    return tensors[f"diffusion_model.{name}.lora_B.weight"] @ tensors[f"diffusion_model.{name}.lora_A.weight"]


@settings(max_examples=20, deadline=None)
@given(strengths=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=3), rank=st.integers(1, 4))
def test_deltas_add_up(strengths: list[float], rank: int) -> None:
    network = Network()
    weight, bias = network.to_q.weight, network.to_q.bias
    loras = [(lora(seed, rank), strength) for seed, strength in enumerate(strengths)]
    assert fuse_loras(network, loras) == 2 * sum(strength != 0 for strength in strengths)
    want = weight + sum(strength * delta(tensors, "to_q") for tensors, strength in loras)
    np.testing.assert_allclose(network.to_q.weight, want, atol=1e-4)
    np.testing.assert_array_equal(network.to_q.bias, bias)


def test_the_sum_is_rounded_once() -> None:
    network = Network(mx.bfloat16)
    weight = network.to_q.weight.astype(mx.float32)
    one, two = lora(1, names=("to_q",)), lora(2, names=("to_q",))
    assert fuse_loras(network, [(one, 0.1), (two, 0.2)]) == 2
    want = weight + 0.1 * delta(one, "to_q") + 0.2 * delta(two, "to_q")
    assert network.to_q.weight.dtype == mx.bfloat16
    np.testing.assert_allclose(network.to_q.weight.astype(mx.float32), want, rtol=2**-8, atol=1e-6)


def test_nothing_to_fuse_changes_nothing() -> None:
    network = Network()
    weight = network.to_q.weight
    assert fuse_loras(network, []) == 0
    assert fuse_loras(network, [(lora(0), 0.0)]) == 0
    np.testing.assert_array_equal(network.to_q.weight, weight)


def test_a_part_of_the_network_goes_without_what_it_has_not() -> None:
    part = Network()
    del part["to_out"]
    assert fuse_loras(part, [(lora(0), 1.0)], ignores=lambda name: name.startswith("to_out.")) == 1
    with pytest.raises(LoaderError, match=r"to_out\.0\.weight is no weight"):
        fuse_loras(part, [(lora(0), 1.0)], ignores=lambda name: name.startswith("to_q."))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: {}, "no tensors"),
        (
            lambda tensors: {key.replace("to_q", "to_k"): value for key, value in tensors.items()},
            "to_k.weight is no",
        ),
        (
            lambda tensors: {key: value for key, value in tensors.items() if "lora_B" not in key},
            "one of its two",
        ),
        (lambda tensors: {key: value.T for key, value in tensors.items()}, "its factors are"),
        (
            lambda tensors: {key.removeprefix("diffusion_model."): value for key, value in tensors.items()},
            "official",
        ),
        (lambda tensors: tensors | {"diffusion_model.to_q.alpha": mx.array(1.0)}, "official LoRA format"),
    ],
)
def test_a_lora_for_something_else_is_refused_and_nothing_changes(change, message) -> None:
    network = Network()
    weight = network.to_q.weight
    with pytest.raises(LoaderError, match=message):
        fuse_loras(network, [(lora(0), 1.0), (change(lora(1)), 1.0)])
    np.testing.assert_array_equal(network.to_q.weight, weight)


def write(path: Path, tensors: dict[str, mx.array], **metadata: str) -> Path:
    mx.save_safetensors(str(path), tensors, metadata)
    return path


def test_files_say_how_references_are_scaled(tmp_path: Path) -> None:
    tensors = lora(0)
    plain = Lora.open(write(tmp_path / "a.safetensors", tensors))
    assert (plain.reference_downscale_factor, plain.reference_temporal_scale_factor) == (1, 1)
    factors = {"reference_downscale_factor": "2", "reference_temporal_scale_factor": "4"}
    scaled = Lora.open(write(tmp_path / "b.safetensors", tensors, **factors))
    assert (scaled.reference_downscale_factor, scaled.reference_temporal_scale_factor) == (2, 4)
    network = Network()
    assert fuse_loras(network, [(scaled.tensors(), 1.0)]) == 2


@pytest.mark.parametrize("factor", ["0", "-1", "1.5", "two", ""])
def test_other_factors_are_refused(tmp_path: Path, factor: str) -> None:
    path = write(tmp_path / "a.safetensors", lora(0), reference_downscale_factor=factor)
    with pytest.raises(LoaderError, match="reference_downscale_factor"):
        Lora.open(path)


def test_files_that_are_no_lora(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="is no LoRA"):
        Lora.open(write(tmp_path / "a.safetensors", {"x": mx.zeros(1)}))
    with pytest.raises(LoaderError, match="does not exist"):
        Lora.open(tmp_path / "none.safetensors")
