"""What lies at a path: component files, folders, 8-bit files, and what is refused with a sentence."""

import json
import struct
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from ltx_loaders import Checkpoint, LoaderError
from ltx_loaders.fp8 import Fp8Linear, dequantise
from ltx_models.transformer import LTXModel, LTXModelConfig, LTXModelType
from mlx.utils import tree_flatten

DIT = "model.diffusion_model."
TRANSFORMER = {
    "num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 4, "in_channels": 4, "out_channels": 4,
    "cross_attention_dim": 8, "caption_channels": 6, "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 4, "audio_in_channels": 4, "audio_out_channels": 4,
    "audio_cross_attention_dim": 8,
}  # fmt: skip
E4M3 = {0x00: 0.0, 0x01: 2.0**-9, 0x08: 2.0**-6, 0x38: 1.0, 0x3C: 1.5, 0x7E: 448.0, 0xB8: -1.0, 0xFE: -448.0}


def write(path: Path, tensors: dict[str, Any], config: object, **metadata: str) -> Path:
    """A file; a tensor given as (dtype, array) has that dtype in the header."""
    header: dict[str, Any] = {"__metadata__": metadata | {"config": json.dumps(config)}}
    data = b""
    for name, value in tensors.items():
        dtype, array = value if isinstance(value, tuple) else ("F32", np.asarray(value, np.float32))
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    raw = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def network() -> dict[str, np.ndarray]:
    mx.random.seed(0)
    config = LTXModelConfig.from_config(TRANSFORMER, model_type=LTXModelType.AudioVideo)
    return {name: np.array(value) for name, value in tree_flatten(LTXModel(config).parameters())}


def transformer(path: Path, prefix: str = DIT, **metadata: str) -> Path:
    tensors = {prefix + name: value for name, value in network().items()}
    return write(path, tensors, {"transformer": TRANSFORMER, "vae": None}, **metadata)


def vae(path: Path, prefix: str = "", config: object = None) -> Path:
    tensors = {f"{prefix}{name}": [1.0] for name in ("encoder.x", "decoder.x", "per_channel_statistics.y")}
    return write(path, tensors, config or {"transformer": None, "vae": {"a": 1}})


@pytest.mark.parametrize("prefix", [DIT, "diffusion_model.", ""])
def test_component_files_name_the_same_tensors(tmp_path: Path, prefix: str) -> None:
    transformer(tmp_path / "diffusion_models" / "dit.safetensors", prefix, model_version="2.3.0")
    vae(tmp_path / "vae" / "video.safetensors")
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.generation == "2.3"
    assert checkpoint.format == "component files"
    assert set(checkpoint.config) == {"transformer", "vae"}
    assert {"vae.encoder.x", "vae.decoder.x", f"{DIT}proj_out.bias"} <= set(checkpoint.tensors())
    assert set(checkpoint.tensors()) == set(checkpoint.tensor_infos())
    assert checkpoint.has("transformer")
    assert checkpoint.has("video_decoder")
    assert not checkpoint.has("vocoder")
    checkpoint.build("transformer", mx.float32)
    files = [tmp_path / "vae" / "video.safetensors", tmp_path / "diffusion_models" / "dit.safetensors"]
    assert set(Checkpoint.open(files).tensors()) == set(checkpoint.tensors())
    with pytest.raises(LoaderError, match="no config section 'vocoder'"):
        checkpoint.build("vocoder", mx.float32)


def test_several_checkpoints_in_a_folder_are_listed(tmp_path: Path) -> None:
    transformer(tmp_path / "dev.safetensors")
    transformer(tmp_path / "distilled.safetensors")
    with pytest.raises(LoaderError, match=r"several checkpoints: dev\.safetensors, distilled\.safetensors"):
        Checkpoint.open(tmp_path)
    with pytest.raises(LoaderError, match=r"both hold model\.diffusion_model"):
        Checkpoint.open([tmp_path / "dev.safetensors", tmp_path / "distilled.safetensors"])
    other = TRANSFORMER | {"num_layers": 2}
    vae(tmp_path / "vae.safetensors", config={"transformer": other, "vae": {"a": 1}})
    with pytest.raises(LoaderError, match="different models: their configs differ in 'transformer'"):
        Checkpoint.open([tmp_path / "dev.safetensors", tmp_path / "vae.safetensors"])


def test_files_that_name_nothing_or_nobody(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match=r"holds no \.safetensors file"):
        Checkpoint.open(tmp_path)
    with pytest.raises(LoaderError, match="no file was given"):
        Checkpoint.open([])
    (tmp_path / "model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(LoaderError, match=r"pickle files \(model\.bin\).*convert"):
        Checkpoint.open(tmp_path)
    both = vae(tmp_path / "a.safetensors", config={"vae": {"a": 1}, "audio_vae": {"a": 1}})
    with pytest.raises(LoaderError, match="does not say whose: it has vae, audio_vae"):
        Checkpoint.open(both)
    both.unlink()
    write(tmp_path / "lora.safetensors", {"diffusion_model.x.lora_A.weight": [1.0]}, {"transformer": {}})
    with pytest.raises(LoaderError, match="holds no LTX-2 checkpoint"):
        Checkpoint.open(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gemma3"}')
    with pytest.raises(LoaderError, match=r"text encoder \(gemma3\)"):
        Checkpoint.open(tmp_path)


def test_conversions_of_other_projects_are_refused(tmp_path: Path) -> None:
    name = "transformer.transformer_blocks.0.ff.proj_in.weight"
    mx.save_safetensors(str(tmp_path / "transformer-dev.safetensors"), {name: mx.zeros(1)})
    for path in (tmp_path, tmp_path / "transformer-dev.safetensors"):
        with pytest.raises(LoaderError, match=r"MLX conversion.*use the official"):
            Checkpoint.open(path)


def test_codes_of_float8() -> None:
    codes = mx.array(list(E4M3), mx.uint8)
    np.testing.assert_array_equal(dequantise(codes, None), list(E4M3.values()))
    np.testing.assert_array_equal(dequantise(codes, mx.array(0.5)), [value / 2 for value in E4M3.values()])
    assert np.isnan(np.array(dequantise(mx.array([0x7F, 0xFF], mx.uint8), None))).all()


def fp8_tensors(**changes: Any) -> dict[str, Any]:
    """The network with one weight in 8 bits."""
    tensors: dict[str, Any] = {DIT + name: value for name, value in network().items()}
    weight = f"{DIT}transformer_blocks.0.attn1.to_q.weight"
    tensors[weight] = ("F8_E4M3", np.full((8, 8), 0x3C, np.uint8))
    tensors |= {f"{weight}_scale": np.float32(0.3), weight.replace("weight", "input_scale"): np.float32(2)}
    return tensors | {weight.replace("weight", key): value for key, value in changes.items()}


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("keep", [False, True])
def test_weights_in_8_bits(tmp_path: Path, keep: bool, dtype: mx.Dtype) -> None:
    path = write(tmp_path / "x.safetensors", fp8_tensors(), {"transformer": TRANSFORMER})
    checkpoint = Checkpoint.open(path, keep_fp8=keep)
    assert set(checkpoint.tensor_infos()) == {DIT + name for name in network()}
    assert checkpoint.tensor_infos()[f"{DIT}transformer_blocks.0.attn1.to_q.weight"].dtype == "F8_E4M3"
    layer = checkpoint.build("transformer", dtype).transformer_blocks[0].attn1.to_q
    assert isinstance(layer, Fp8Linear) == keep
    x = mx.random.normal((3, 8)).astype(dtype)
    want = x.astype(mx.float32) @ mx.full((8, 8), 0.3 * 1.5) + layer.bias.astype(mx.float32)
    got = layer(x)
    assert got.dtype == dtype
    np.testing.assert_allclose(got.astype(mx.float32), want, rtol=0.02 if dtype == mx.bfloat16 else 1e-5,
                               atol=0.02 if dtype == mx.bfloat16 else 1e-5)  # fmt: skip
    if keep:
        assert layer.weight_fp8.dtype == mx.uint8
        assert layer.weight_scale.dtype == mx.float32
        assert float(layer.weight_scale) == np.float32(0.3)


def test_weights_in_8_bits_without_a_scale_stand_for_themselves(tmp_path: Path) -> None:
    tensors = fp8_tensors(bias=("F8_E4M3", np.full(8, 0xB8, np.uint8)))
    del tensors[f"{DIT}transformer_blocks.0.attn1.to_q.weight_scale"]
    path = write(tmp_path / "x.safetensors", tensors, {"transformer": TRANSFORMER})
    for keep in (False, True):
        network = Checkpoint.open(path, keep_fp8=keep).build("transformer", mx.float32)
        layer = network.transformer_blocks[0].attn1.to_q
        np.testing.assert_allclose(layer(mx.ones((1, 8))), np.full((1, 8), 8 * 1.5 - 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_scale": np.ones(8)}, r"weight_scale is F32 of shape \(8,\)"),
        ({"weight_scale": np.ones(1)}, r"of shape \(1,\); supported: one"),
        ({"weight": ("F8_E5M2", np.zeros((8, 8), np.uint8))}, "float8_e5m2"),
        ({"weight": ("U8", np.zeros((8, 4), np.uint8)), "weight_scale_2": np.float32(1),
          "weight_scale": ("F8_E4M3", np.zeros((8, 1), np.uint8))}, "nvfp4"),
        ({"to_x.weight_scale": np.float32(1)}, "scales a tensor that is missing"),
    ],
)  # fmt: skip
def test_other_8_bit_formats_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "x.safetensors", fp8_tensors(**changes), {"transformer": TRANSFORMER})
    with pytest.raises(LoaderError, match=message):
        Checkpoint.open(path)


def test_shards(tmp_path: Path) -> None:
    tensors = {DIT + name: value for name, value in network().items()}
    half = len(tensors) // 2
    first, second = dict(list(tensors.items())[:half]), dict(list(tensors.items())[half:])
    write(tmp_path / "model-00001-of-00002.safetensors", first, {"transformer": TRANSFORMER})
    mx.save_safetensors(
        str(tmp_path / "model-00002-of-00002.safetensors"), {k: mx.array(v) for k, v in second.items()}
    )
    index = tmp_path / "model.safetensors.index.json"
    weight_map = dict.fromkeys(first, "model-00001-of-00002.safetensors")
    weight_map |= dict.fromkeys(second, "model-00002-of-00002.safetensors")
    index.write_text(json.dumps({"weight_map": weight_map}))
    checkpoint = Checkpoint.open(tmp_path)
    assert set(checkpoint.tensors()) == set(tensors)
    checkpoint.build("transformer", mx.float32)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(LoaderError, match="does not exist"):
        Checkpoint.open(tmp_path)
