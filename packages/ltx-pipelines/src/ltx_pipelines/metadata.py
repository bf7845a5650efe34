"""What a clip was made with: everything that its frames and its sound depend on, as plain values.

The one place that turns a run into a record: clips carry it, and saved latents are found by its hash.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from ltx_core import LTXError
from ltx_core.device import backend
from ltx_loaders.fingerprint import fingerprint

from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.models import CheckpointModels, ModelSource

if TYPE_CHECKING:
    from ltx_pipelines.config import ClipConfig
    from ltx_pipelines.protocol import Pipeline

FORMAT = 1
PACKAGES = ("ltx-core", "ltx-models", "ltx-loaders", "ltx-pipelines", "mlx")

# Fields of configs, and of what these hold, that are files or arrays.
MEDIA = frozenset({"image", "video", "source", "audio", "waveform", "conditioning_attention_mask"})
# What does not change a single byte of the clip.
FOR_PEOPLE = frozenset({"model", "loras", "user_prompt", "command"})


def settings_of(pipeline: "Pipeline[Any]", config: "ClipConfig") -> dict[str, Any]:
    """The record of a run, before or after it; weights are fingerprinted, never read as a whole.

    Returns:
        "format" of the record, "pipeline", "model" and "loras" for people, every field of the config, the
        pipeline's own options, "dtype", "quantize", "devices", "backend", "device", "files" (role, name and
        `ltx_loaders.fingerprint` of all weights), "inputs" (name and SHA-256 of what the config names) and
        "versions". A file that cannot be read has the fingerprint None: a finished clip is not lost for that.
    """
    models, recipe = pipeline.models, pipeline.recipe
    settings: dict[str, Any] = {"format": FORMAT, "pipeline": recipe.name, "model": models.name}
    settings |= config.settings()
    settings |= {name: _plain_option(value) for name, value in recipe.options.items()}
    if models.lora_reports:
        settings["loras"] = [str(report) for report in models.lora_reports]
    return settings | {
        "dtype": str(models.dtype).removeprefix("mlx.core."),
        "quantize": _quantisation(models),
        "devices": _devices(models),
        "backend": backend(),
        "device": str(mx.device_info().get("device_name", "unknown")),
        "files": [file_record(role, path, **more) for role, path, more in weight_files(pipeline)],
        "inputs": [{"name": name, "sha256": digest} for name, digest in _inputs(config)],
        "versions": {package: version(package) for package in PACKAGES},
    }


def settings_hash(settings: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that two runs share if they must give the same bytes on one machine."""
    values = {name: value for name, value in settings.items() if name not in FOR_PEOPLE}
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _is_loras(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(lora, LoraPathStrength) for lora in value)


def _plain_option(value: Any) -> Any:
    return [str(lora) for lora in value] if _is_loras(value) else value


def _quantisation(models: ModelSource) -> Any:
    if not isinstance(models, CheckpointModels):
        return None
    if models.quantize is not None:
        return models.quantize.to_json()
    return "fp8" if models.checkpoint.keep_fp8 else None


def _devices(models: ModelSource) -> str | None:
    """How several processes divide the work: their sums have another order than those of one."""
    if not isinstance(models, CheckpointModels) or models.devices is None:
        return None
    return f"{models.devices.division.value} {models.devices.group.size()}"


def weight_files(pipeline: "Pipeline[Any]") -> list[tuple[str, Path, dict[str, Any]]]:
    """Role, path and strengths of every file of weights that a run reads, a folder for the text encoder; of
    models from elsewhere than files nothing is known."""
    models = pipeline.models
    found: list[tuple[str, Path, dict[str, Any]]] = []
    if isinstance(models, CheckpointModels):
        found += [("checkpoint", Path(file.header.path), {}) for file in models.checkpoint.files]
        found.append(("gemma", models.gemma, {}))
        if models.upsampler_path is not None:
            found.append(("spatial upscaler", Path(models.upsampler_path), {}))
        found += [_lora("lora", lora) for lora in models.loras]
    for value in pipeline.recipe.options.values():
        if _is_loras(value):
            found += [_lora("lora of a stage", lora) for lora in value]
    return found


def _lora(role: str, lora: LoraPathStrength) -> tuple[str, Path, dict[str, Any]]:
    return role, Path(lora.path), {"strengths": [lora.strength, lora.second]}


def file_record(role: str, path: Path, **more: Any) -> dict[str, Any]:
    """One of "files" in a record."""
    digest = None
    with contextlib.suppress(OSError, LTXError):
        digest = fingerprint(path)
    return {"role": role, "name": path.name, "fingerprint": digest, **more}


def _inputs(value: Any, name: str = "") -> Iterator[tuple[str, str | None]]:
    """Files and arrays that a config names, wherever in it they stand."""
    if is_dataclass(value):
        for part in fields(value):
            yield from _inputs(getattr(value, part.name), part.name)
    elif isinstance(value, list | tuple) and not isinstance(value, mx.array):
        for part in value:
            yield from _inputs(part, name)
    elif name in MEDIA and isinstance(value, str | Path):
        yield str(value), _sha256_of_file(Path(value))
    elif name in MEDIA and isinstance(value, np.ndarray | mx.array):
        array = np.ascontiguousarray(np.array(value))
        described = f"array {array.dtype} {array.shape}"
        yield described, hashlib.sha256(described.encode() + array.tobytes()).hexdigest()


def _sha256_of_file(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
