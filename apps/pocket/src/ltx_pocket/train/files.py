"""Files of the training: tensors in parts that can travel, and checkpoints in the official layout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from ltx_loaders.components import COMPONENTS
from ltx_loaders.weights import KeyMap, conv_axes
from mlx.utils import tree_flatten

FILE_BYTES = 15 * 2**20
"""Largest file that is written: machines that are lent bring back files of 16 MiB at most."""


def flat(tree: Any) -> list[tuple[str, mx.array]]:
    """The leaves of a tree of arrays with their dotted names."""
    return cast(list[tuple[str, mx.array]], tree_flatten(tree))


def save_tensors(
    folder: Path, stem: str, tensors: Mapping[str, mx.array], metadata: dict[str, str] | None = None
) -> list[Path]:
    """Write tensors to `stem-1.safetensors`, `stem-2.safetensors` and so on, none larger than FILE_BYTES."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, mx.array]] = [{}]
    room = FILE_BYTES
    for name, value in tensors.items():
        if value.nbytes > room and shards[-1]:
            shards.append({})
            room = FILE_BYTES
        shards[-1][name] = value
        room -= value.nbytes
    for stale in folder.glob(f"{stem}-*.safetensors"):
        stale.unlink()
    paths = [folder / f"{stem}-{number}.safetensors" for number in range(1, len(shards) + 1)]
    for path, shard in zip(paths, shards, strict=True):
        mx.save_safetensors(str(path), shard, metadata or {})
    return paths


def load_tensors(folder: Path, stem: str) -> tuple[dict[str, mx.array], dict[str, str]]:
    """What `save_tensors` has written.

    Raises:
        FileNotFoundError: there are no such files.
    """
    paths = sorted(folder.glob(f"{stem}-*.safetensors"))
    if not paths:
        raise FileNotFoundError(
            f"{folder} has no {stem}-*.safetensors; give the --out folder of an earlier run"
        )
    tensors: dict[str, mx.array] = {}
    metadata: dict[str, str] = {}
    for path in paths:
        shard, metadata = cast(Any, mx.load(str(path), return_metadata=True))
        tensors.update(shard)
    return tensors, metadata


def official_tensors(component: str | KeyMap, module: nn.Module) -> dict[str, mx.array]:
    """A network's weights under the names and in the layout of an official checkpoint.

    Args:
        component: a name of `ltx_loaders.components.COMPONENTS`, or how the tensors are named.
        module: the network of that component.
    """
    keys = component if isinstance(component, KeyMap) else COMPONENTS[component].keys
    axes = conv_axes(module)
    tensors = {}
    for name, value in flat(module.parameters()):
        if name in axes:
            order = axes[name]
            value = mx.contiguous(value.transpose([order.index(axis) for axis in range(len(order))]))
        tensors[keys.file_name(name)] = value
    return tensors


def save_checkpoint(
    path: Path,
    modules: Mapping[str, nn.Module],
    config: Mapping[str, Any],
    dtype: mx.Dtype = mx.float32,
) -> Path:
    """Write networks as an official single file: names, layout, and the config in the metadata.

    Args:
        modules: component name -> network; components that share tensors (statistics) agree on them.
        config: the sections that these components need.
        dtype: of the floating-point tensors.
    """
    tensors: dict[str, mx.array] = {}
    for component, module in modules.items():
        tensors |= official_tensors(component, module)
    return write_checkpoint(path, tensors, config, dtype)


def write_checkpoint(
    path: Path, tensors: Mapping[str, mx.array], config: Mapping[str, Any], dtype: mx.Dtype = mx.float32
) -> Path:
    """Write tensors that have their official names already, with the config in the metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cast = {
        name: value.astype(dtype) if mx.issubdtype(value.dtype, mx.floating) else value
        for name, value in tensors.items()
    }
    metadata = {"config": json.dumps(config), "model_version": "2.3.0", "format": "pt"}
    beside = path.with_suffix(".partial.safetensors")
    mx.save_safetensors(str(beside), cast, metadata)
    beside.rename(path)
    return path
