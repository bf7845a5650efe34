"""A checkpoint: what is in it, and its networks, built from its own config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ConfigError

from ltx_loaders.components import COMPONENTS, GROUPS
from ltx_loaders.errors import LoaderError
from ltx_loaders.folders import open_path
from ltx_loaders.fp8 import dequantised, is_helper, keep_linears, kept_tensors, restore_scales, scaled_tensors
from ltx_loaders.header import SafetensorsHeader, TensorInfo
from ltx_loaders.limits import build_checked
from ltx_loaders.pack import Pack
from ltx_loaders.sources import SourceFile
from ltx_loaders.versions import generation_of, parse_version
from ltx_loaders.weights import load_weights


@dataclass(frozen=True)
class Group:
    """A part of a checkpoint, counted."""

    name: str
    tensors: int
    parameters: int
    nbytes: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a model, in one file or several. Opening it reads headers only.

    Attributes:
        path: the file or folder that was opened.
        files: the safetensors files that it consists of.
        config: one section for each component, as the official files embed it.
        metadata: the files' other metadata.
        format: what it is, for people.
        keep_fp8: whether linear layers that are stored in 8-bit floating point stay so in memory.
    """

    path: Path
    files: tuple[SourceFile, ...]
    config: Mapping[str, Any]
    metadata: Mapping[str, str]
    format: str = "single file"
    keep_fp8: bool = False

    @staticmethod
    def open(path: str | Path | Sequence[str | Path], *, keep_fp8: bool = False) -> "Checkpoint":
        """Open a checkpoint in any format.

        Args:
            path: a file; a folder that holds one checkpoint, in one file, in component files or in diffusers'
                format; or the files of one checkpoint.
            keep_fp8: keep linear layers that are stored in 8-bit floating point as they are in the networks
                that are built, and expand them each time they are used; else they are expanded once.

        Raises:
            LoaderError: nothing there, several checkpoints to choose from, damaged, foreign or pickle files.
            ConfigError: a diffusers config that official checkpoints have no word for.
        """
        found = open_path(path)
        opened = Checkpoint(found.path, found.files, found.config, found.metadata, found.format, keep_fp8)
        _ = opened._scaled  # An unknown 8-bit format is an error of opening, not of building.
        return opened

    @cached_property
    def _stored_infos(self) -> dict[str, TensorInfo]:
        return {name: info for file in self.files for name, info in file.infos().items()}

    @cached_property
    def _scaled(self) -> dict[str, str | None]:
        return scaled_tensors(self._stored_infos, self.path)

    def _stored(self) -> dict[str, mx.array]:
        return {name: tensor for file in self.files for name, tensor in file.tensors().items()}

    @cached_property
    def header(self) -> SafetensorsHeader:
        """Everything but the data, as one header: official names, whatever the files call their tensors."""
        return SafetensorsHeader(self.path, dict(self.tensor_infos()), dict(self.metadata))

    def tensor_infos(self) -> Mapping[str, TensorInfo]:
        """Dtype, shape and size of every tensor as it is stored, by official names."""
        return {name: info for name, info in self._stored_infos.items() if not is_helper(name)}

    def tensors(self) -> Mapping[str, mx.array]:
        """Every tensor by its official name, in the official layout, to be read when it is first computed
        with; those in 8-bit floating point as what they stand for, in float32. Each call gives new arrays:
        kept, they would hold all that was ever read in memory."""
        return dequantised(self._stored(), self._scaled)

    @property
    def is_fp8(self) -> bool:
        """Whether any tensor is stored in 8-bit floating point."""
        return bool(self._scaled)

    @property
    def model_version(self) -> tuple[int, ...]:
        """Numeric `model_version` of the metadata, e.g. (2, 3, 0); () if there is none."""
        return parse_version(self.metadata.get("model_version"))

    @property
    def generation(self) -> str:
        """Generation of the model, "2.0", "2.3" or "2.5": by the metadata, else by features of the config."""
        if version := self.model_version:
            return ".".join(map(str, (*version, 0)[:2]))
        transformer = self.config.get("transformer")
        return generation_of(transformer if isinstance(transformer, Mapping) else {})

    def has(self, component: str) -> bool:
        """Whether the file holds the config section and any own tensor of a component."""
        entry = COMPONENTS[component]
        first_prefix = next(iter(entry.keys.prefixes))
        return bool(self.config.get(entry.section)) and any(
            name.startswith(first_prefix) and not name.startswith(entry.keys.exclude)
            for name in self.header.tensors
        )

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the config.

        Raises:
            LoaderError: there is none of that name.
        """
        section = self.config.get(name)
        if not isinstance(section, dict):
            raise LoaderError(f"{self.path} has no config section {name!r}; use a full checkpoint")
        return section

    def build(self, component: str, dtype: mx.Dtype, **options: Any) -> nn.Module:
        """Build a network from its config section and give it its weights.

        Args:
            component: a name of `COMPONENTS`.
            dtype: of its floating-point weights (a vocoder is always float32).
            options: what its config needs besides the section (`gemma` for the embeddings processor).

        Raises:
            LoaderError: no such component in this file, or tensors that do not fit its config.
            ConfigError: a value of the config that the network does not support.
        """
        entry = COMPONENTS.get(component)
        if entry is None:
            raise LoaderError(f"unknown component {component!r}; known are {', '.join(COMPONENTS)}")
        section = self.section(entry.section)
        if not self.has(component):
            raise LoaderError(
                f"{self.path} holds no {component.replace('_', ' ')} (tensors "
                f"{next(iter(entry.keys.prefixes))}*); use a full checkpoint"
            )
        place = f"{self.path}, config section {entry.section!r}"
        try:
            module = build_checked(
                lambda: entry.create(section, **options), section, len(self._stored_infos), place
            )
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from None
        dtype = entry.dtype or dtype
        if not (self.keep_fp8 and self._scaled):
            load_weights(module, self.tensors(), entry.keys, dtype, str(self.path))
            return module
        kept = keep_linears(module, entry.keys, self._scaled)
        tensors = kept_tensors(self._stored(), self._scaled, kept)
        load_weights(module, tensors, entry.keys, dtype, str(self.path))
        restore_scales(module, entry.keys, tensors, kept)
        return module

    def groups(self) -> list[Group]:
        """The file's tensors counted by component, with everything unknown in a last group "other"."""
        infos = self.tensor_infos()
        members: dict[str, list[str]] = {name: [] for name in (*GROUPS, "other")}
        for key in infos:
            name = next((name for name, prefixes in GROUPS.items() if key.startswith(prefixes)), "other")
            members[name].append(key)
        pack = Pack.read(self.metadata)
        sizes = pack.count(infos) if pack else {key: info.size for key, info in infos.items()}
        return [
            Group(
                name,
                len(keys),
                sum(sizes[key] for key in keys),
                sum(infos[key].nbytes for key in keys),
                tuple(sorted({infos[key].dtype for key in keys})),
            )
            for name, keys in members.items()
            if keys
        ]
