"""The text encoder from a Gemma directory as the Hugging Face hub has it."""

from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ConfigError
from mlx.utils import tree_unflatten

from ltx_loaders.errors import LoaderError
from ltx_loaders.header import SafetensorsHeader
from ltx_loaders.quantize import quantized_layer, read_spec
from ltx_loaders.sources import read_json, read_shards, read_tensors
from ltx_loaders.weights import KeyMap, load_weights

if TYPE_CHECKING:
    from ltx_models.text_encoder import GemmaConfig, GemmaTextModel

# Where the decoder's tensors are, by the generation of the transformers library that wrote the file.
LAYOUTS = ("language_model.model.", "model.language_model.", "model.")


def find_gemma_directory(path: str | Path) -> Path:
    """`path`, or the first directory below it that holds a config and `model*.safetensors`.

    Raises:
        LoaderError: there is none.
    """
    root = Path(path)
    if not root.is_dir():
        raise LoaderError(
            f"{root} is not a directory; give the folder of the Gemma text encoder (config.json, "
            "model*.safetensors and the tokenizer's files)"
        )
    for directory in (root, *sorted(entry for entry in root.rglob("*") if entry.is_dir())):
        if (directory / "config.json").is_file() and any(directory.glob("model*.safetensors")):
            return directory
    raise LoaderError(
        f"{root} holds no Gemma text encoder: no folder in it has config.json and model*.safetensors"
    )


def read_gemma_config(path: str | Path) -> "GemmaConfig":
    """The network's sizes from `config.json`.

    Raises:
        LoaderError: no such file, or not JSON.
        ConfigError: another kind of model, or an unsupported value.
    """
    from ltx_models.text_encoder import GemmaConfig

    file = find_gemma_directory(path) / "config.json"
    config = read_json(file)
    try:
        return GemmaConfig.from_config(config)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def load_gemma(path: str | Path, dtype: mx.Dtype) -> "GemmaTextModel":
    """The decoder of a Gemma directory with its weights, sharded or not; nothing is read from disk yet.

    Layers that the files hold quantised, as mlx-community's do, stay so: bits and group size follow from the
    tensors' shapes.

    Raises:
        LoaderError: files missing or damaged, or tensors that do not fit the config.
        ConfigError: another kind of model, or an unsupported value.
    """
    from ltx_models.text_encoder import GemmaTextModel

    directory = find_gemma_directory(path)
    model = GemmaTextModel(read_gemma_config(directory))
    tensors: dict[str, mx.array] = {}
    for file in _shards(directory):
        tensors.update(read_tensors(SafetensorsHeader.read(file)))
    for prefix in LAYOUTS:
        if f"{prefix}embed_tokens.weight" in tensors:
            own = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            _quantize_like(model, own, prefix, directory)
            load_weights(model, own, KeyMap({prefix: ""}), dtype, str(directory))
            return model
    raise LoaderError(
        f"{directory} holds no Gemma decoder: no tensor <prefix>embed_tokens.weight with one of the prefixes "
        f"{', '.join(LAYOUTS)}"
    )


def _quantize_like(
    model: "GemmaTextModel", tensors: dict[str, mx.array], prefix: str, directory: Path
) -> None:
    """Give the layers that the files hold quantised a place for that."""
    layers: list[tuple[str, nn.Module]] = []
    for path, layer in model.named_modules():
        name = f"{prefix}{path}."
        if f"{name}scales" not in tensors or not isinstance(layer, nn.Linear | nn.Embedding):
            continue
        parameters = {
            key: tensors[name + key] for key in ("weight", "scales", "biases") if name + key in tensors
        }
        try:
            spec = read_spec(layer.weight.shape, parameters)
        except LoaderError as error:
            raise LoaderError(f"{directory}, layer {path}: {error}") from None
        layers.append((path, quantized_layer(layer, spec, parameters)))
    model.update_modules(tree_unflatten(layers))


def _shards(directory: Path) -> list[Path]:
    """The weight files: those that the index names if there is one, else every model*.safetensors."""
    index = directory / "model.safetensors.index.json"
    return read_shards(index) if index.is_file() else sorted(directory.glob("model*.safetensors"))
