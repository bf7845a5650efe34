"""The formats that people have weights in, made from a small official checkpoint."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
from ltx_loaders.diffusers_keys import (
    AUDIO_VAE_RENAMES,
    CONNECTOR_RENAMES,
    TRANSFORMER_RENAMES,
    VOCODER_RENAMES,
    video_vae_renames,
)

from tests.formats.diffusers_configs import diffusers_configs

Tensors = dict[str, mx.array]
TRANSFORMER, CONNECTORS = "model.diffusion_model.", "embeddings_connector."


def read(path: Path) -> tuple[Tensors, dict[str, Any], dict[str, str]]:
    """Tensors, config and metadata of a safetensors file."""
    with path.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    metadata = header.get("__metadata__", {})
    return mx.load(str(path)), json.loads(metadata["config"]), metadata


def save(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    mx.save_safetensors(str(path), tensors, metadata or {})


def write_raw(path: Path, tensors: Mapping[str, tuple[str, np.ndarray]], metadata: dict[str, str]) -> None:
    """A safetensors file with dtypes that numpy has no word for: name -> (dtype, bytes of that shape)."""
    header: dict[str, Any] = {"__metadata__": metadata}
    data = b""
    for name, (dtype, array) in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    raw_header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw_header)) + raw_header + data)


def single_file(checkpoint: Path, folder: Path) -> Path:
    return checkpoint


def folder_of_one(checkpoint: Path, folder: Path) -> Path:
    """The official file in a folder, beside a LoRA and an upscaler that are no part of it."""
    (folder / "checkpoint.safetensors").symlink_to(checkpoint)
    save(folder / "lora.safetensors", {"diffusion_model.x.lora_A.weight": mx.zeros((1, 1))})
    upscaler = {"config": '{"_class_name": "LatentUpsampler"}'}
    save(folder / "upscaler.safetensors", {"initial_conv.weight": mx.zeros(1)}, upscaler)
    return folder


def component_files(checkpoint: Path, folder: Path, bare_vae: bool = True) -> Path:
    """As the 2.5 release is split: transformer with connectors, video VAE, audio VAE with vocoder."""
    tensors, config, metadata = read(checkpoint)
    text = "text_embedding_projection."
    parts = {
        "diffusion_models/transformer": (("model.", text), ("transformer", "scheduler")),
        "vae/video": (("vae.",), ("vae",)),
        "vae/audio": (("audio_vae.", "vocoder."), ("audio_vae", "vocoder")),
    }
    for name, (prefixes, sections) in parts.items():
        own = {key: tensor for key, tensor in tensors.items() if key.startswith(prefixes)}
        if name == "vae/video" and bare_vae:
            own = {key.removeprefix("vae."): tensor for key, tensor in own.items()}
        only = {section: config[section] if section in sections else None for section in config}
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, own, {**metadata, "config": json.dumps(only)})
    return folder


def component_files_prefixed(checkpoint: Path, folder: Path) -> Path:
    return component_files(checkpoint, folder, bare_vae=False)


def component_list(checkpoint: Path, folder: Path) -> list[Path]:
    return sorted(component_files(checkpoint, folder).rglob("*.safetensors"))


def sharded(checkpoint: Path, folder: Path) -> Path:
    """Official names in two files with an index; only the first has the config."""
    tensors, _, metadata = read(checkpoint)
    _write_shards(folder, "model", tensors, 2, metadata)
    return folder


def _write_shards(
    folder: Path, stem: str, tensors: Tensors, count: int, metadata: dict[str, str] | None = None
) -> None:
    weight_map: dict[str, str] = {}
    for index in range(count):
        name = f"{stem}-{index + 1:05}-of-{count:05}.safetensors"
        own = dict(list(tensors.items())[index::count])
        save(folder / name, own, metadata if index == 0 else None)
        weight_map |= dict.fromkeys(own, name)
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def diffusers(checkpoint: Path, folder: Path, shards: int = 1) -> Path:
    """A repository as diffusers' conversion script and `save_pretrained` make it."""
    tensors, config, _ = read(checkpoint)
    vae = video_vae_renames(
        len(config["vae"]["encoder_blocks"]) // 2, len(config["vae"]["decoder_blocks"]) // 2
    )
    connectors = {key for key in tensors if CONNECTORS in key or key.startswith("text_embedding_projection.")}
    renames = {
        "transformer": (
            TRANSFORMER_RENAMES,
            lambda key: key.startswith(TRANSFORMER) and key not in connectors,
        ),
        "connectors": (CONNECTOR_RENAMES, lambda key: key in connectors),
        "vae": (vae, lambda key: key.startswith("vae.")),
        "audio_vae": (AUDIO_VAE_RENAMES, lambda key: key.startswith("audio_vae.")),
        "vocoder": (VOCODER_RENAMES, lambda key: key.startswith("vocoder.")),
    }
    configs = diffusers_configs(config, tensors)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "LTX2Pipeline"}))
    for name, (table, belongs) in renames.items():
        own = {table.to_diffusers(key): tensor for key, tensor in tensors.items() if belongs(key)}
        # The conversion drops what no network uses.
        own = {key: tensor for key, tensor in own.items() if not key.startswith("per_channel_statistics")}
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(configs[name]))
        if shards == 1:
            save(folder / name / "diffusion_pytorch_model.safetensors", own, {"format": "pt"})
        else:
            _write_shards(folder / name, "diffusion_pytorch_model", own, shards)
    return folder


def diffusers_sharded(checkpoint: Path, folder: Path) -> Path:
    return diffusers(checkpoint, folder, shards=3)


def e4m3_values() -> np.ndarray:
    """What the 256 codes of float8_e4m3fn stand for: sign, 4 bits of exponent (bias 7), 3 of fraction."""
    codes = np.arange(256)
    exponent, fraction = (codes >> 3) & 15, codes & 7
    values = np.where(exponent == 0, fraction / 8 * 2.0**-6, (1 + fraction / 8) * 2.0 ** (exponent - 7.0))
    values = np.where(codes >= 128, -values, values)
    values[[0x7F, 0xFF]] = np.nan
    return values.astype(np.float32)


def is_fp8(name: str, tensor: mx.array) -> bool:
    """What the official fp8 files have in 8 bits: linear layers of the blocks, some blocks left out."""
    return name.startswith(f"{TRANSFORMER}transformer_blocks.") and tensor.ndim == 2 and name.endswith(
        ".weight") and ".0." not in name.removeprefix(TRANSFORMER)[:21]  # fmt: skip


def fp8(checkpoint: Path, folder: Path) -> Path:
    """As the official fp8 files: a scale for each weight, one for its inputs, bfloat16 elsewhere."""
    tensors, _, metadata = read(checkpoint)
    raw: dict[str, tuple[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        if not is_fp8(name, tensor):
            word = tensor.view(mx.uint16) if tensor.dtype == mx.bfloat16 else tensor
            raw[name] = ("BF16" if tensor.dtype == mx.bfloat16 else "F32", np.array(word))
            continue
        codes, scale = fp8_codes(tensor)
        raw[name] = ("F8_E4M3", codes)
        raw[f"{name}_scale"] = ("F32", scale)
        raw[name.removesuffix("weight") + "input_scale"] = ("F32", np.array(1.0, np.float32))
    path = folder / "fp8.safetensors"
    write_raw(path, raw, metadata)
    return path


def fp8_codes(tensor: mx.array) -> tuple[np.ndarray, np.ndarray]:
    """Codes and the scale that brings the largest value to 448."""
    scale = mx.abs(tensor.astype(mx.float32)).max() / 448
    return np.array(mx.to_fp8(tensor.astype(mx.float32) / scale)), np.array(scale)


def rounded_to_fp8(checkpoint: Path, folder: Path) -> Path:
    """The official file with the numbers that the fp8 file stands for, by a table of our own."""
    tensors, _, metadata = read(checkpoint)
    table = e4m3_values()
    for name, tensor in tensors.items():
        if is_fp8(name, tensor):
            codes, scale = fp8_codes(tensor)
            tensors[name] = mx.array(table[codes] * scale)
    path = folder / "rounded.safetensors"
    save(path, tensors, metadata)
    return path


Writer = Callable[[Path, Path], "Path | list[Path]"]

# Every format with the same numbers as the official file: for people -> how it is made.
EXACT: dict[str, Writer] = {
    "official single file": single_file,
    "folder with it": folder_of_one,
    "component files in a folder": component_files,
    "component files with prefixes": component_files_prefixed,
    "component files, as a list": component_list,
    "official names, sharded with an index": sharded,
    "diffusers repository": diffusers,
    "diffusers repository, sharded": diffusers_sharded,
}
