"""The text encoder from a Gemma directory as the Hugging Face hub has it."""

from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx
from ltx_core.errors import ConfigError

from ltx_loaders.errors import LoaderError
from ltx_loaders.header import SafetensorsHeader
from ltx_loaders.limits import LARGEST, build_checked
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


def is_gemma(folder: Path) -> bool:
    """Whether a folder is that of a Gemma model itself, by its config."""
    try:
        kind = read_json(folder / "config.json").get("model_type")
    except LoaderError:
        return False
    return isinstance(kind, str) and kind.startswith("gemma")


def read_gemma_config(path: str | Path) -> "GemmaConfig":
    """The network's sizes from `config.json`.

    Raises:
        LoaderError: no such file, or not JSON.
        ConfigError: another kind of model, or an unsupported value.
    """
    from ltx_models.text_encoder import GemmaConfig

    file = find_gemma_directory(path) / "config.json"
    config = read_json(file)
    text = config.get("text_config", config)
    counted = {"num_hidden_layers": text.get("num_hidden_layers")} if isinstance(text, dict) else {}
    try:
        return build_checked(lambda: GemmaConfig.from_config(config), counted, LARGEST, str(file))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def load_gemma(path: str | Path, dtype: mx.Dtype) -> "GemmaTextModel":
    """The decoder of a Gemma directory with its weights, sharded or not; nothing is read from disk yet.

    Layers that the files hold quantised, as mlx-community's do, stay so.

    Raises:
        LoaderError: files missing or damaged, or tensors that do not fit the config.
        ConfigError: another kind of model, or an unsupported value.
    """
    from ltx_models.text_encoder import GemmaTextModel

    directory = find_gemma_directory(path)
    config = read_gemma_config(directory)
    tensors: dict[str, mx.array] = {}
    for file in gemma_files(directory):
        tensors.update(read_tensors(SafetensorsHeader.read(file)))
    place = str(directory / "config.json")
    model = build_checked(lambda: GemmaTextModel(config), vars(config), len(tensors), place)
    for prefix in LAYOUTS:
        if f"{prefix}embed_tokens.weight" in tensors:
            own = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            load_weights(model, own, KeyMap({prefix: ""}), dtype, str(directory))
            return model
    raise LoaderError(
        f"{directory} holds no Gemma decoder: no tensor <prefix>embed_tokens.weight with one of the prefixes "
        f"{', '.join(LAYOUTS)}"
    )


def gemma_files(directory: Path) -> list[Path]:
    """The weight files: those that the index names if there is one, else every model*.safetensors."""
    index = directory / "model.safetensors.index.json"
    return read_shards(index) if index.is_file() else sorted(directory.glob("model*.safetensors"))
