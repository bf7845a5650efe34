"""Finding a checkpoint at a path: a file, several files, or a folder of them, in any format that is known."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltx_loaders.components import COMPONENTS, GROUPS, TRANSFORMER
from ltx_loaders.diffusers_format import is_diffusers, open_diffusers
from ltx_loaders.errors import LoaderError
from ltx_loaders.header import SafetensorsHeader, pickles_in
from ltx_loaders.sources import SourceFile, Sources, read_config, read_shards

SECTIONS = tuple(dict.fromkeys(component.section for component in COMPONENTS.values()))

# Names of VAEs that were saved alone, without the component's prefix.
BARE_VAE = ("encoder.", "decoder.", "per_channel_statistics.")
# Transformers that were saved alone: prefixes in use, by a tensor that every transformer has.
BARE_TRANSFORMER = {"patchify_proj.weight": "", "diffusion_model.patchify_proj.weight": "diffusion_model."}
# What MLX conversions of other projects call the layers of the transformer's feed-forward networks.
FOREIGN_MLX = (".ff.proj_in.", ".ff.proj_out.", ".linear1.")


def open_path(path: str | Path | Sequence[str | Path]) -> Sources:
    """What lies at a path; headers and configs are read.

    Args:
        path: a file; a folder with one checkpoint in one file, in component files or in diffusers' format;
            or the files of one checkpoint.

    Raises:
        LoaderError: nothing that is known, several checkpoints to choose from, or damaged files.
        ConfigError: a diffusers config that official checkpoints have no word for.
    """
    if not isinstance(path, str | Path):
        if not path:
            raise LoaderError("no file was given; give the files of one checkpoint")
        return _merge(Path(path[0]), [_open_file(SafetensorsHeader.read(file)) for file in path])
    path = Path(path)
    if not path.is_dir():
        return _open_file(SafetensorsHeader.read(path))
    if is_diffusers(path):
        return open_diffusers(path)
    return _open_folder(path)


def _open_file(header: SafetensorsHeader) -> Sources:
    if any(part in name for name in header.tensors for part in FOREIGN_MLX):
        raise LoaderError(_foreign_mlx(header.path))
    config = read_config(header)
    metadata = {key: value for key, value in header.metadata.items() if key != "config"}
    file = SourceFile(header, _official_names(header, config))
    return Sources(header.path, "single file", (file,), config, metadata)


def _foreign_mlx(path: Path) -> str:
    return (
        f"{path} is another project's MLX conversion, with renamed and transposed weights, which is not read "
        "here; use the official .safetensors file (`-q 8` quantises it on load, `ltx convert` for good)"
    )


def _official_names(header: SafetensorsHeader, config: Mapping[str, Any]) -> dict[str, str]:
    """Official name -> name in the file."""
    names = list(header.tensors)
    transformer = next((prefix for key, prefix in BARE_TRANSFORMER.items() if key in header.tensors), None)
    if transformer is not None and config.get("transformer"):
        return {TRANSFORMER + name.removeprefix(transformer): name for name in names}
    if any(name.startswith(BARE_VAE) for name in names):
        owners = [section for section in ("vae", "audio_vae") if config.get(section)]
        if len(owners) != 1:
            raise LoaderError(
                f"{header.path} has tensors {BARE_VAE[0]}* without a component's prefix, and its config does "
                f"not say whose: it has {', '.join(owners) or 'neither vae nor audio_vae'}; use the official "
                "file"
            )
        return {f"{owners[0]}.{name}" if name.startswith(BARE_VAE) else name: name for name in names}
    return {name: name for name in names}


@dataclass(frozen=True)
class _Candidate:
    """A file, or the shards of one, that may be the checkpoint or a part of it."""

    sources: Sources
    parts: frozenset[str]


def _open_folder(folder: Path) -> Sources:
    """A folder that is not in diffusers' format: everything in it and one level below is looked at."""
    files = sorted(file for pattern in ("*.safetensors", "*/*.safetensors") for file in folder.glob(pattern))
    if not files:
        raise LoaderError(_nothing(folder))
    sharded: list[_Candidate] = []
    for index in sorted(
        [*folder.glob("*.safetensors.index.json"), *folder.glob("*/*.safetensors.index.json")]
    ):
        shards = read_shards(index)
        headers = [SafetensorsHeader.read(shard) for shard in shards]
        files = [file for file in files if file not in shards]
        if candidate := _candidate(index, headers):
            sharded.append(candidate)
    single = [_candidate(file, [SafetensorsHeader.read(file)]) for file in files]
    candidates = [*sharded, *(candidate for candidate in single if candidate)]
    if not candidates:
        raise LoaderError(_no_checkpoint(folder))
    _check_unambiguous(folder, candidates)
    return _merge(folder, [candidate.sources for candidate in candidates])


def _candidate(path: Path, headers: list[SafetensorsHeader]) -> _Candidate | None:
    """None for LoRAs, upscalers, text encoders and other models."""
    first = next((header for header in headers if "config" in header.metadata), None)
    if first is None:
        return None
    if any(name.endswith((".lora_A.weight", ".lora_down.weight")) for name in first.tensors):
        return None
    opened = [_open_file(SafetensorsHeader(h.path, h.tensors, first.metadata | h.metadata)) for h in headers]
    sources = Sources(
        path,
        "single file" if len(headers) == 1 else "sharded file",
        tuple(file for each in opened for file in each.files),
        opened[0].config,
        opened[0].metadata,
    )
    names = [name for file in sources.files for name in file.names]
    parts = {group for group, prefixes in GROUPS.items() if any(n.startswith(prefixes) for n in names)}
    return _Candidate(sources, frozenset(parts)) if parts else None


def _check_unambiguous(folder: Path, candidates: list[_Candidate]) -> None:
    for part in GROUPS:
        holders = [str(c.sources.path.relative_to(folder)) for c in candidates if part in c.parts]
        if len(holders) > 1:
            raise LoaderError(
                f"{folder} holds several checkpoints: {', '.join(holders)} each have a {part}; give the one "
                "file that you mean, or the files of one model"
            )


def _merge(path: Path, parts: list[Sources]) -> Sources:
    """One checkpoint out of component files."""
    if len(parts) == 1 and len(parts[0].files) == 1:
        # Its name says more than the folder's.
        return parts[0]
    if len(parts) == 1:
        return Sources(path, parts[0].format, parts[0].files, parts[0].config, parts[0].metadata)
    config: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    owners: dict[str, Path] = {}
    for part in parts:
        for section, value in part.config.items():
            if value is None:
                continue
            if section in config and config[section] != value and section in SECTIONS:
                raise LoaderError(
                    f"{owners[section]} and {part.path} belong to different models: their configs differ in "
                    f"{section!r}; give files of one model"
                )
            owners.setdefault(section, part.path)
            config.setdefault(section, value)
        metadata = {**part.metadata, **metadata}
    files = [file for part in parts for file in part.files]
    _check_names_once(files)
    return Sources(path, "component files", tuple(files), config, metadata)


def _check_names_once(files: Iterable[SourceFile]) -> None:
    owners: dict[str, Path] = {}
    for file in files:
        for name in file.names:
            if name in owners:
                raise LoaderError(f"{owners[name]} and {file.header.path} both hold {name}; give one of them")
            owners[name] = file.header.path


def _nothing(folder: Path) -> str:
    if pickles := pickles_in(folder):
        return pickles
    return f"{folder} holds no .safetensors file; give the checkpoint's file, or the folder that it is in"


def _no_checkpoint(folder: Path) -> str:
    if (folder / "embedded_config.json").is_file() or any(folder.glob("transformer-*.safetensors")):
        return _foreign_mlx(folder)
    kind = _model_type(folder)
    if "gemma" in kind:
        return f"{folder} holds a text encoder ({kind}), no LTX-2 checkpoint; give it as the Gemma folder"
    return (
        f"{folder} holds no LTX-2 checkpoint: none of its .safetensors files has the metadata entry 'config' "
        "and the tensors that go with it; give the official file, or the folder that it is in"
    )


def _model_type(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
