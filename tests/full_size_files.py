"""The published models as files with true headers and holes in the place of numbers: they take no room."""

import json
import lzma
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
from ltx_models.text_encoder import GemmaConfig, GemmaTextModel
from mlx.utils import tree_flatten

SHAPES = Path(__file__).parent / "fixtures" / "full_size"
NAMES = {"2.0": "ltx-2-19b-distilled.safetensors", "2.3": "ltx-2.3-22b-distilled.safetensors"}
UPSCALER = "spatial_upscaler_x2"
GEMMA = {
    "model_type": "gemma3_text",
    "hidden_size": 3840,
    "intermediate_size": 15360,
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 256,
    "vocab_size": 262208,
    "sliding_window": 1024,
}
BYTES = {mx.bfloat16: ("BF16", 2), mx.uint32: ("U32", 4)}
Shapes = Iterable[tuple[str, tuple[int, ...], mx.Dtype]]


def write(path: Path, shapes: Shapes, **metadata: str) -> Path:
    """A safetensors file whose data is a hole."""
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, shape, dtype in shapes:
        code, size = BYTES[dtype]
        start, end = end, end + size * math.prod(shape)
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


def write_checkpoint(folder: Path, generation: str = "2.0") -> Path:
    """A checkpoint in bfloat16."""
    reference = _reference(generation)
    tensors: dict[str, Any] = {}  # the statistics of the latents are in two components
    for component, shapes in reference["tensors"].items():
        if component not in reference["upscalers"] and not component.startswith("transformer_"):
            tensors |= shapes
    metadata = {"config": json.dumps(reference["config"]), "model_version": f"{generation}.0"}
    return write(folder / NAMES[generation], _bfloat16(tensors), **metadata)


def write_upscaler(folder: Path, generation: str = "2.0") -> Path:
    """Its spatial upscaler x2."""
    reference = _reference(generation)
    config = json.dumps(reference["upscalers"][UPSCALER])
    return write(folder / f"{UPSCALER}.safetensors", _bfloat16(reference["tensors"][UPSCALER]), config=config)


def write_gemma(folder: Path, bits: int | None = None) -> Path:
    """The folder of a text encoder, without tokenizer; with `bits` as mlx-community has it."""
    folder.mkdir()
    network = GemmaTextModel(GemmaConfig.from_config(GEMMA))
    if bits:
        nn.quantize(network, 64, bits)
    (folder / "config.json").write_text(json.dumps(GEMMA))
    parameters: list[tuple[str, mx.array]] = tree_flatten(network.parameters())
    types = {True: mx.uint32, False: mx.bfloat16}
    shapes = [(f"model.{name}", array.shape, types[array.dtype == mx.uint32]) for name, array in parameters]
    write(folder / "model.safetensors", shapes)
    return folder


def _bfloat16(tensors: dict[str, Any]) -> Shapes:
    return [(name, tuple(shape), mx.bfloat16) for name, shape in tensors.items()]


def _reference(generation: str) -> dict[str, Any]:
    """Configs and shapes of everything that was published."""
    text = lzma.decompress((SHAPES / f"ltx-{generation}.json.xz").read_bytes())
    result: dict[str, Any] = json.loads(text)
    return result
