"""Where a checkpoint's tensors are: files on disk, and what each of their tensors is called officially."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from ltx_loaders.errors import LoaderError
from ltx_loaders.header import SafetensorsHeader, TensorInfo


def read_tensors(header: SafetensorsHeader) -> dict[str, mx.array]:
    """All tensors of a file as lazy arrays: each is read from disk when it is first computed with."""
    try:
        tensors = mx.load(str(header.path))
    except (RuntimeError, ValueError) as error:
        raise LoaderError(f"{header.path} cannot be loaded: {error}") from None
    if not isinstance(tensors, dict):
        raise LoaderError(f"{header.path} holds one array, not named tensors; it is no checkpoint")
    return tensors


def read_config(header: SafetensorsHeader) -> dict[str, Any]:
    """The JSON object in the metadata entry `config`.

    Raises:
        LoaderError: there is none: the file is not one of the official LTX-2 releases.
    """
    text = header.metadata.get("config")
    if text is None:
        raise LoaderError(
            f"{header.path} is a safetensors file without the metadata entry 'config', so it is not an LTX-2 "
            "checkpoint (files of other models and re-saved files lack it); use the official file"
        )
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise LoaderError(f"{header.path} is damaged: its metadata entry 'config' is not a JSON object")
    return config


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        LoaderError: no such file, or something else in it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LoaderError(f"{path} does not exist; the folder is incomplete, download it again") from None
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise LoaderError(f"{path} is damaged: not a JSON object; download it again")
    return content


def read_shards(index: Path) -> list[Path]:
    """The weight files that an index (`*.safetensors.index.json`) names.

    Raises:
        LoaderError: it is damaged, or names files outside its folder.
    """
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise LoaderError(f"{index} is damaged: no 'weight_map'; download it again")
    names = list(weight_map.values())
    if not all(isinstance(name, str) and Path(name).name == name and name.isprintable() for name in names):
        raise LoaderError(f"{index} is damaged: its 'weight_map' names files outside its folder")
    return [index.parent / name for name in sorted(set(names))]


@dataclass(frozen=True)
class SourceFile:
    """One safetensors file of a checkpoint.

    Attributes:
        header: what it holds under the names that it uses.
        names: official name -> name in the file, of every tensor that is of use.
    """

    header: SafetensorsHeader
    names: Mapping[str, str]

    @staticmethod
    def official(header: SafetensorsHeader) -> "SourceFile":
        """A file that uses the official names."""
        return SourceFile(header, {name: name for name in header.tensors})

    def infos(self) -> dict[str, TensorInfo]:
        """What the header says of the tensors, by their official names."""
        return {name: self.header.tensors[stored] for name, stored in self.names.items()}

    def tensors(self) -> dict[str, mx.array]:
        """The tensors, lazily, by their official names."""
        stored = read_tensors(self.header)
        return {name: stored[key] for name, key in self.names.items()}


@dataclass(frozen=True)
class Sources:
    """What a path holds: files, and what they say together.

    Attributes:
        path: what was opened.
        format: for people.
        files: with every tensor once.
        config: official sections.
        metadata: the other entries of the files' metadata.
    """

    path: Path
    format: str
    files: tuple[SourceFile, ...]
    config: Mapping[str, Any]
    metadata: Mapping[str, str]
