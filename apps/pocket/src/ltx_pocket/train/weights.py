"""Files of the diffusion stage: its weights under official names, and the state to go on from."""

import hashlib
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from ltx_loaders import Checkpoint, load_gemma
from ltx_loaders.sources import read_tensors
from ltx_loaders.weights import KeyMap, load_weights
from ltx_models.text_encoder import GemmaConfig
from ltx_models.transformer import LTXModel
from mlx.utils import tree_map, tree_map_with_path

from ltx_pocket.files import CHECKPOINT, GEMMA_FOLDER
from ltx_pocket.train.diffusion import Diffusion
from ltx_pocket.train.files import flat, load_tensors, official_tensors, save_tensors, write_checkpoint
from ltx_pocket.train.trainer import Trainer

GEMMA = "text_encoder.model."
"""In front of the text encoder's tensors, which have a file of their own in the shipped model."""


def fingerprint(tokenizer: Path) -> str:
    """Of the tokenizer in a folder: weights belong to one vocabulary."""
    return hashlib.sha256((tokenizer / "tokenizer.json").read_bytes()).hexdigest()[:16]


def save_diffusion(path: Path, network: Diffusion, config: dict[str, Any], dtype: mx.Dtype) -> Path:
    """Write all networks of the stage as one file.

    Args:
        config: sections `transformer` and `gemma`, and the tokenizer's `fingerprint`.
    """
    tensors = official_tensors("transformer", network.transformer)
    tensors |= official_tensors("embeddings_processor", network.embeddings)
    tensors |= {GEMMA + name: value for name, value in flat(network.gemma.parameters())}
    return write_checkpoint(path, tensors, config, dtype)


def load_diffusion(path: Path, dtype: mx.Dtype) -> tuple[Diffusion, dict[str, Any]]:
    """What `save_diffusion` has written, or the same networks of a packed model, and their config.

    Args:
        path: the file, or the packed model's folder.
    """
    checkpoint = Checkpoint.open(path / CHECKPOINT if path.is_dir() else path)
    config = dict(checkpoint.config)
    if path.is_dir():
        folder = path / GEMMA_FOLDER
        config["gemma"] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["tokenizer"] = fingerprint(folder)
    network = Diffusion(config["transformer"], config["gemma"])
    transformer = checkpoint.build("transformer", dtype)
    assert isinstance(transformer, LTXModel)
    network.transformer.update(transformer.parameters())
    gemma = GemmaConfig.from_config(config["gemma"])
    processor = checkpoint.build("embeddings_processor", dtype, gemma=gemma)
    network.embeddings.update(processor.parameters())
    if path.is_dir():
        network.gemma.update(load_gemma(folder, dtype).parameters())
    else:
        tensors = read_tensors(checkpoint.header)
        load_weights(network.gemma, tensors, KeyMap({GEMMA: ""}), dtype, str(path))
    mx.eval(network.parameters())
    return network, config


def save_state(trainer: Trainer, folder: Path, metadata: dict[str, str], moments: bool) -> None:
    """Write what `load_state` needs: weights in float16, their moving average as its difference in bfloat16.

    A third of the bytes of float32, for machines that take few files; rounding to 11 digits is far less than
    what the next steps change.

    Args:
        metadata: plain values to keep.
        moments: write the optimiser's moments, too. Without them, as large as the rest, training goes on with
            new ones.
    """
    kept = tree_map(lambda p: p.astype(mx.float16), trainer.params)
    drift = tree_map(lambda e, p: (e - p.astype(mx.float32)).astype(mx.bfloat16), trainer.ema, kept)
    save_tensors(folder, "state", dict(flat(kept)), {**metadata, "steps": str(trainer.steps)})
    save_tensors(folder, "drift", dict(flat(drift)))
    if moments:
        state = {
            name: value.astype(mx.bfloat16) if value.ndim else value
            for name, value in flat(trainer.optimizer.state)
        }
        save_tensors(folder, "moments", state)


def load_state(trainer: Trainer, folder: Path) -> dict[str, str]:
    """Go on from what `save_state` has written, or from a packed model, and return the metadata; the schedule
    of a packed model begins anew.

    Without the files of the moving average, it begins with the weights; without moments that fit, there are
    new ones.

    Raises:
        FileNotFoundError: there is no state in `folder`.
        ValueError: the state is that of another network.
    """
    if (folder / CHECKPOINT).exists():
        network, config = load_diffusion(folder, mx.float32)
        tensors = dict(flat(network.trainable_parameters()))
        metadata = {"tokenizer": config["tokenizer"], "steps": "0", "progress": "0"}
    else:
        tensors, metadata = load_tensors(folder, "state")
    wanted = {name: value.shape for name, value in flat(trainer.params)}
    if wanted != {name: value.shape for name, value in tensors.items()}:
        raise ValueError(f"the state in {folder} belongs to a network of another size")

    def tree(values: dict[str, mx.array]) -> dict[str, Any]:
        return tree_map_with_path(lambda name, _: values[name].astype(mx.float32), trainer.params)

    params = tree(tensors)
    ema = params
    if any(folder.glob("drift-*.safetensors")):
        ema = tree_map(mx.add, params, tree(load_tensors(folder, "drift")[0]))
    if any(folder.glob("moments-*.safetensors")):
        saved, _ = load_tensors(folder, "moments")
        state = trainer.optimizer.state
        if all(name in saved and saved[name].shape == value.shape for name, value in flat(state)):
            trainer.optimizer.state = tree_map_with_path(
                lambda name, old: saved[name].astype(old.dtype), state
            )
    trainer.assign(params, ema, int(metadata["steps"]))
    return metadata
