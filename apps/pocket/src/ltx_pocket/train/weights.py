"""Files of the diffusion stage: its weights under official names, and the state to go on from."""

import hashlib
from pathlib import Path
from typing import Any

import mlx.core as mx
from ltx_loaders import Checkpoint
from ltx_loaders.sources import read_tensors
from ltx_loaders.weights import KeyMap, load_weights
from ltx_models.text_encoder import GemmaConfig
from ltx_models.transformer import LTXModel
from mlx.utils import tree_map, tree_map_with_path

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
    """What `save_diffusion` has written, and its config."""
    checkpoint = Checkpoint.open(path)
    config = dict(checkpoint.config)
    network = Diffusion(config["transformer"], config["gemma"])
    transformer = checkpoint.build("transformer", dtype)
    assert isinstance(transformer, LTXModel)
    network.transformer.update(transformer.parameters())
    gemma = GemmaConfig.from_config(config["gemma"])
    processor = checkpoint.build("embeddings_processor", dtype, gemma=gemma)
    network.embeddings.update(processor.parameters())
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
    """Go on from what `save_state` has written, and return its metadata.

    Without the files of the moving average, it begins with the weights; without moments, there are new ones.

    Raises:
        FileNotFoundError: there is no state in `folder`.
        ValueError: the state is that of another network.
    """
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
        trainer.optimizer.state = tree_map_with_path(
            lambda name, old: saved[name].astype(old.dtype), trainer.optimizer.state
        )
    trainer.assign(params, ema, int(metadata["steps"]))
    return metadata
