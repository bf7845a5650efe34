"""Checkpoints written anew: quantised or cast, in shards, in the official layout and under official names."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from ltx_loaders.checkpoint import Checkpoint
from ltx_loaders.components import COMPONENTS
from ltx_loaders.errors import LoaderError
from ltx_loaders.fp8 import FP8
from ltx_loaders.pack import FORMAT_VERSION, METADATA_KEY
from ltx_loaders.policy import QuantizationPolicy
from ltx_loaders.quantize import quantize_weight
from ltx_loaders.writer import Entry, write_safetensors

MAX_SHARD_BYTES = 5_000_000_000

Progress = Callable[[str, int, int], None]
"""Called with what is done ("hash" or "write"), how many bytes of it are, and how many there are."""


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        path: the folder.
        files: the shards in it.
        nbytes: of all tensors.
        quantised: how many weights were.
    """

    path: Path
    files: tuple[str, ...]
    nbytes: int
    quantised: int


def convert(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    policy: QuantizationPolicy | None = None,
    dtype: mx.Dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    on_progress: Progress = lambda what, done, total: None,
) -> Conversion:
    """Write a checkpoint in any format as a folder of shards that `Checkpoint.open` reads.

    One tensor at a time is in memory. The folder appears when it is complete; until then it stands beside its
    place under another name, and goes away if anything fails. The metadata of every shard holds the config,
    and what it was made of and how: generation, policy, and the SHA-256 of the source's files, as the hub
    states it.

    Args:
        source: as in `Checkpoint.open`.
        out: the folder to write.
        policy: which weights of the transformer are quantised, and how; None: none.
        dtype: of the other floating-point tensors; None: as they are (8-bit ones become bfloat16).
        max_shard_bytes: of the tensors in a file.

    Raises:
        LoaderError: the source is damaged, no checkpoint or quantised already; nothing of it can be
            quantised; `out` exists or cannot be written; the disk is too small; a number is too large for the
            dtype.
    """
    out = Path(out)
    checkpoint = Checkpoint.open(source)
    recipe = _Recipe.of(checkpoint, policy, dtype)
    entries = {
        name: {key: Entry.of(array) for key, array in recipe.make(name, tensor).items()}
        for name, tensor in checkpoint.tensors().items()
    }
    quantised = sum(len(made) > 1 for made in entries.values())
    if policy is not None and not quantised:
        raise LoaderError(
            f"{checkpoint.path} has no weights that can be quantised to {policy}: it holds no transformer, "
            f"or the sizes of its layers are no multiples of {policy.spec.group_size}"
        )
    shards = _shards(entries, max_shard_bytes)
    total = sum(entry.nbytes for made in entries.values() for entry in made.values())
    _check_place(out, total)
    metadata = _metadata(checkpoint, policy, on_progress)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        files = _write(folder, checkpoint, recipe, shards, entries, metadata, total, on_progress)
        Checkpoint.open(folder)
        folder.chmod(0o755)
        folder.rename(out)
    except OSError as error:
        raise LoaderError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Conversion(out, tuple(files), total, quantised)


@dataclass(frozen=True)
class _Recipe:
    """What becomes of each tensor."""

    checkpoint: Checkpoint
    dtypes: Mapping[str, str]
    policy: QuantizationPolicy | None
    dtype: mx.Dtype | None
    num_blocks: int

    @staticmethod
    def of(checkpoint: Checkpoint, policy: QuantizationPolicy | None, dtype: mx.Dtype | None) -> "_Recipe":
        dtypes = {name: info.dtype for name, info in checkpoint.tensor_infos().items()}
        if any(name.endswith(".scales") for name in dtypes):
            raise LoaderError(f"{checkpoint.path} is quantised already; convert what it was made from")
        section = checkpoint.config.get("transformer")
        num_blocks = section.get("num_layers", 0) if isinstance(section, Mapping) else 0
        return _Recipe(checkpoint, dtypes, policy, dtype, num_blocks)

    def make(self, name: str, tensor: mx.array) -> dict[str, mx.array]:
        """The tensors in the place of one, by their names in the file; nothing is computed yet."""
        inner = COMPONENTS["transformer"].keys.module_name(name)
        if self.policy is not None and inner is not None:
            spec = self.policy.spec_of(inner, tensor.shape, self.num_blocks)
            if spec is not None:
                parts = quantize_weight(tensor, spec, mx.bfloat16)
                return {name.removesuffix("weight") + part: array for part, array in parts.items()}
        if mx.issubdtype(tensor.dtype, mx.floating):
            tensor = tensor.astype(self.dtype or (mx.bfloat16 if self.dtypes[name] == FP8 else tensor.dtype))
        return {name: tensor}


def _shards(entries: Mapping[str, Mapping[str, Entry]], limit: int) -> list[list[str]]:
    """Names of the source's tensors by the shard that they go to; a quantised weight is not torn apart."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, made in entries.items():
        size = sum(entry.nbytes for entry in made.values())
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _check_place(out: Path, total: int) -> None:
    if out.exists():
        raise LoaderError(f"{out} exists; give a folder that does not, or remove it first")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise LoaderError(f"{out.parent} is no folder that can be written to; make it first")
    free = shutil.disk_usage(out.parent).free
    if total > free:
        raise LoaderError(
            f"{out} will have {total / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free there; make room, or "
            "write to another disk"
        )


def _metadata(
    checkpoint: Checkpoint, policy: QuantizationPolicy | None, on_progress: Progress
) -> dict[str, str]:
    """Of every shard."""
    sources = []
    files = sorted({file.header.path for file in checkpoint.files})
    total, done = sum(file.stat().st_size for file in files), 0
    for path in files:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(1 << 24):
                digest.update(chunk)
                done += len(chunk)
                on_progress("hash", done, total)
        sources.append({"file": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()})
    pack: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "generation": checkpoint.generation,
        "source": checkpoint.path.name,
        "files": sources,
        "quantization": None if policy is None else policy.to_json(),
    }
    config = {"config": json.dumps(checkpoint.config), METADATA_KEY: json.dumps(pack)}
    return {**checkpoint.metadata, **config}


def _write(
    folder: Path,
    checkpoint: Checkpoint,
    recipe: _Recipe,
    shards: Sequence[Sequence[str]],
    entries: Mapping[str, Mapping[str, Entry]],
    metadata: Mapping[str, str],
    total: int,
    on_progress: Progress,
) -> list[str]:
    """All shards and, if there are several, their index; the names of the shards."""
    files, places, done = [], {}, 0

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        on_progress("write", done, total)

    for number, names in enumerate(shards, 1):
        file = (
            f"model-{number:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else "model.safetensors"
        )
        made = {key: entry for name in names for key, entry in entries[name].items()}
        write_safetensors(folder / file, made, _arrays(checkpoint, recipe, names), metadata, on_bytes)
        files.append(file)
        places.update(dict.fromkeys(made, file))
    if len(files) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    return files


def _arrays(checkpoint: Checkpoint, recipe: _Recipe, names: Sequence[str]) -> Iterator[tuple[str, mx.array]]:
    """What becomes of some tensors, computed one after the other."""
    tensors = dict(checkpoint.tensors())
    for name in names:
        # Whoever keeps a tensor that was computed with keeps its numbers.
        made = recipe.make(name, tensors.pop(name))
        mx.eval(made)
        if recipe.dtype is not None and not all(_is_finite(array) for array in made.values()):
            raise LoaderError(
                f"{checkpoint.path}: tensor {name} holds numbers that are not finite in {recipe.dtype}; "
                "choose bfloat16 or float32"
            )
        yield from made.items()
        made.clear()
        mx.clear_cache()


def _is_finite(array: mx.array) -> bool:
    return not mx.issubdtype(array.dtype, mx.floating) or bool(mx.isfinite(array).all())
