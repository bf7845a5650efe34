"""Checkpoints, Gemma folders and upscaler files: what is asked of them, and their errors."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from ltx_core.errors import ConfigError
from ltx_loaders import Checkpoint, LoaderError, find_gemma_directory, load_gemma, load_upsampler
from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig
from mlx.utils import tree_flatten
from safetensors.numpy import save_file

UPSCALER: dict[str, Any] = {
    "_class_name": "LatentUpsampler",
    "in_channels": 4,
    "mid_channels": 32,
    "num_blocks_per_stage": 1,
}


def write(path: Path, tensors: dict[str, Any], config: object = None, **metadata: str) -> Path:
    if config is not None:
        metadata["config"] = config if isinstance(config, str) else json.dumps(config)
    save_file(
        {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}, path, metadata
    )
    return path


def upscaler_tensors() -> dict[str, np.ndarray]:
    network = LatentUpsampler(LatentUpsamplerConfig.from_config(UPSCALER))
    return {
        name: np.moveaxis(np.array(value), -1, 1) if value.ndim > 1 else np.array(value)
        for name, value in tree_flatten(network.parameters())
    }


@pytest.mark.parametrize(
    ("version", "transformer", "generation"),
    [
        ("2.0.0", {}, "2.0"),
        ("2.3.rc1", {}, "2.3"),
        ("2.5.0", {}, "2.5"),
        (None, {}, "2.0"),
        (None, {"cross_attention_adaln": True}, "2.3"),
        (None, {"ff_bias": False, "cross_attention_adaln": True}, "2.5"),
    ],
)
def test_generation(
    tmp_path: Path, version: str | None, transformer: dict[str, Any], generation: str
) -> None:
    metadata = {} if version is None else {"model_version": version}
    path = write(tmp_path / "x.safetensors", {"a": [1]}, {"transformer": transformer}, **metadata)
    assert Checkpoint.open(path).generation == generation


def test_groups_count_every_tensor_once(tmp_path: Path) -> None:
    tensors = {
        "model.diffusion_model.proj_out.bias": np.zeros(5),
        "model.diffusion_model.video_embeddings_connector.learnable_registers": np.zeros((2, 3)),
        "vae.encoder.conv_in.conv.bias": np.zeros(4),
        "stranger": np.zeros(7),
    }
    groups = {g.name: g for g in Checkpoint.open(write(tmp_path / "x.safetensors", tensors, {})).groups()}
    assert {name: group.parameters for name, group in groups.items()} == {
        "text connectors": 6,
        "transformer": 5,
        "video encoder": 4,
        "other": 7,
    }
    assert groups["other"].nbytes == 28
    assert groups["other"].dtypes == ("F32",)


def test_foreign_and_damaged_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="not an LTX-2"):
        Checkpoint.open(write(tmp_path / "a.safetensors", {"a": [1]}))
    for config in ("{", "[]", "3", "[" * 100_000):
        with pytest.raises(LoaderError, match="'config' is not a JSON object"):
            Checkpoint.open(write(tmp_path / "b.safetensors", {"a": [1]}, config))


def test_missing_components(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write(tmp_path / "x.safetensors", {"a": [1]}, {"vae": {}}))
    with pytest.raises(LoaderError, match="no config section 'transformer'"):
        checkpoint.build("transformer", mx.float32)
    checkpoint = Checkpoint.open(write(tmp_path / "y.safetensors", {"a": [1]}, {"vae": {"x": 1}}))
    with pytest.raises(LoaderError, match=r"no video decoder \(tensors vae.decoder"):
        checkpoint.build("video_decoder", mx.float32)
    with pytest.raises(LoaderError, match="unknown component 'toaster'"):
        checkpoint.build("toaster", mx.float32)


def test_unsupported_config_names_file_section_key_and_value(tmp_path: Path) -> None:
    config = {"vocoder": {"upsample_initial_channel": 32, "resblock": "7"}}
    path = write(tmp_path / "x.safetensors", {"vocoder.conv_pre.bias": [1]}, config)
    with pytest.raises(ConfigError, match=r"x\.safetensors.*'vocoder'.*resblock.*7"):
        Checkpoint.open(path).build("vocoder", mx.float32)


def test_upscaler_round_trip(tmp_path: Path) -> None:
    tensors = upscaler_tensors()
    upscaler = load_upsampler(write(tmp_path / "x.safetensors", tensors, UPSCALER), mx.float32)
    loaded = dict(tree_flatten(upscaler.parameters()))
    assert set(loaded) == set(tensors)
    for name, want in tensors.items():
        got = np.array(loaded[name])
        np.testing.assert_array_equal(np.moveaxis(got, -1, 1) if got.ndim > 1 else got, want)


def test_upscaler_errors(tmp_path: Path) -> None:
    tensors = upscaler_tensors()
    with pytest.raises(LoaderError, match="no latent upscaler"):
        load_upsampler(write(tmp_path / "a.safetensors", {"a": [1]}, UPSCALER), mx.float32)
    odd = UPSCALER | {"rational_resampler": True, "spatial_scale": 9.7}
    with pytest.raises(ConfigError, match=r"b\.safetensors.*spatial_scale"):
        load_upsampler(write(tmp_path / "b.safetensors", tensors, odd), mx.float32)
    del tensors["final_conv.bias"]
    with pytest.raises(LoaderError, match=r"1 missing \(final_conv\.bias\)"):
        load_upsampler(write(tmp_path / "c.safetensors", tensors, UPSCALER), mx.float32)


def test_gemma_folders(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="is not a directory"):
        find_gemma_directory(tmp_path / "none")
    with pytest.raises(LoaderError, match="holds no Gemma text encoder"):
        find_gemma_directory(tmp_path)
    deeper = tmp_path / "snapshots" / "abc"
    deeper.mkdir(parents=True)
    (deeper / "config.json").write_text("{")
    write(deeper / "model.safetensors", {"a": [1]})
    assert find_gemma_directory(tmp_path) == deeper
    with pytest.raises(LoaderError, match="not a JSON object"):
        load_gemma(tmp_path, mx.float32)
    (deeper / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="bert"):
        load_gemma(tmp_path, mx.float32)
