"""Gemma folders: quantised ones as mlx-community has them."""

import json
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from ltx_loaders import LoaderError, load_gemma
from mlx.utils import tree_flatten

CONFIG = {
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 32, "num_hidden_layers": 2, "vocab_size": 96,
        "sliding_window": 8, "query_pre_attn_scalar": 32,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    },
}  # fmt: skip
PREFIX = "language_model.model."


def write(folder: Path, tensors: dict[str, mx.array], **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    return folder


def weights() -> dict[str, mx.array]:
    from ltx_models.text_encoder import GemmaConfig, GemmaTextModel

    mx.random.seed(0)
    model = GemmaTextModel(GemmaConfig.from_config(CONFIG))
    return {
        PREFIX + name: mx.random.normal(value.shape) * 0.05
        for name, value in tree_flatten(model.parameters())
    }


def quantised(tensors: dict[str, mx.array], bits: int, group_size: int) -> dict[str, mx.array]:
    """What mlx-lm saves: matrices packed, with their scales and offsets beside them."""
    packed = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            parts = mx.quantize(tensor, group_size, bits)
            for key, part in zip(("weight", "scales", "biases"), parts, strict=True):
                packed[name.removesuffix("weight") + key] = part
    return packed


@pytest.mark.parametrize(("bits", "group_size", "limit"), [(8, 64, 0.05), (4, 64, 0.5), (4, 32, 0.5)])
def test_quantised_folders_stay_quantised(tmp_path: Path, bits: int, group_size: int, limit: float) -> None:
    tensors = weights()
    packed = quantised(tensors, bits, group_size)
    folder = write(tmp_path / "q", packed, quantization={"group_size": group_size, "bits": bits})
    model = load_gemma(folder, mx.float32)
    assert isinstance(model.embed_tokens, nn.QuantizedEmbedding)
    layer = model.layers[0].self_attn.q_proj
    assert (layer.bits, layer.group_size, layer.weight.dtype) == (bits, group_size, mx.uint32)
    # The numbers are those of the file: the same network with the weights that they stand for agrees.
    plain = dict(tensors)
    for name in [name for name, tensor in tensors.items() if tensor.ndim == 2]:
        parts = (packed[name.removesuffix("weight") + key] for key in ("weight", "scales", "biases"))
        plain[name] = mx.dequantize(*parts, group_size=group_size, bits=bits)
    ids = mx.array([[3, 5, 7, 90]])
    got = model(ids)[-1]
    want = load_gemma(write(tmp_path / "plain", plain), mx.float32)(ids)[-1]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    exact = load_gemma(write(tmp_path / "exact", tensors), mx.float32)(ids)[-1]
    assert float(mx.linalg.norm(got - exact) / mx.linalg.norm(exact)) < limit


def test_packed_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    packed = quantised(weights(), 4, 64)
    packed[f"{PREFIX}layers.0.mlp.up_proj.scales"] = mx.zeros((128, 3))
    with pytest.raises(LoaderError, match=r"layers\.0\.mlp\.up_proj"):
        load_gemma(write(tmp_path, packed), mx.float32)
    packed = quantised(weights(), 4, 64)
    del packed[f"{PREFIX}layers.1.mlp.up_proj.biases"]
    with pytest.raises(LoaderError, match=r"layers\.1\.mlp\.up_proj"):
        load_gemma(write(tmp_path, packed), mx.float32)
