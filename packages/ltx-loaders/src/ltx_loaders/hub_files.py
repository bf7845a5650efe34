"""Which files of a repository on the Hugging Face hub a pipeline needs: a rule over their names."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ltx_loaders.diffusers_format import CLASSES, WEIGHTS
from ltx_loaders.errors import LoaderError

# What each pipeline is made of. "dev" and "distilled" are the two kinds of checkpoints.
NEEDS: dict[str, tuple[str, ...]] = {
    "distilled": ("distilled", "spatial upscaler"),
    "ic-lora": ("distilled", "spatial upscaler"),
    "text-to-video": ("dev",),
    "one-stage": ("dev",),
    "text-to-audio": ("dev",),
    "two-stage": ("dev", "spatial upscaler", "distilled LoRA"),
    "two-stage-hq": ("dev", "spatial upscaler", "distilled LoRA"),
    "keyframes": ("dev", "spatial upscaler", "distilled LoRA"),
    "audio-to-video": ("dev", "spatial upscaler", "distilled LoRA"),
    "retake": ("distilled",),
    "extend": ("distilled",),
}

# How the official repositories name them; the highest version is taken. The fp8 files are for who asks.
PATTERNS = {
    "dev": r"ltx-2[\d.]*-\d+b-dev(?P<fp8>-fp8)?(-(?P<version>[\d.]+))?\.safetensors",
    "distilled": r"ltx-2[\d.]*-\d+b-distilled(?P<fp8>-fp8)?(-(?P<version>[\d.]+))?\.safetensors",
    "spatial upscaler": r"ltx-2[\d.]*-spatial-upscaler-x2(-(?P<version>[\d.]+))?\.safetensors",
    "distilled LoRA": r"ltx-2[\d.]*-\d+b-distilled-lora-\d+(-(?P<version>[\d.]+))?\.safetensors",
}
DIFFUSERS = (
    "transformer", "connectors", "vae", "audio_vae", "vocoder", "text_encoder", "tokenizer", "scheduler"
)  # fmt: skip
GEMMA_WEIGHTS = re.compile(r"(.*/)?model(-\d+-of-\d+)?\.safetensors")
SMALL = (".json", ".model", ".jinja")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its name there, and its size in bytes."""

    name: str
    size: int


def needed_files(
    repo: str, files: Sequence[RemoteFile], pipeline: str | None = None, *, fp8: bool = False
) -> list[RemoteFile]:
    """What to download of a repository.

    Official repositories hold a dozen variants of 40 GB each: one is chosen, with what goes with it. Of a
    diffusers repository the networks' folders are needed, of one with a text encoder its weights and its
    tokenizer; a repository with a single weight file (a LoRA) is that file.

    Args:
        repo: for messages.
        files: everything in the repository.
        pipeline: one of `NEEDS`; None: "distilled".
        fp8: prefer the checkpoint in 8-bit floating point.

    Raises:
        LoaderError: an unknown pipeline, or nothing in the repository that it could use.
    """
    pipeline = pipeline or "distilled"
    if pipeline not in NEEDS:
        raise LoaderError(f"unknown pipeline {pipeline!r}; known are {', '.join(NEEDS)}")
    names = {file.name for file in files}
    chosen = {role: _newest(PATTERNS[role], names, fp8) for role in NEEDS[pipeline]}
    if found := {name for name in chosen.values() if name is not None}:
        if missing := [role for role, name in chosen.items() if name is None]:
            raise LoaderError(
                f"{repo} lacks {' and '.join(missing)} (for the pipeline {pipeline}); it has "
                f"{', '.join(sorted(name for name in names if name.endswith('.safetensors')))}"
            )
        return _select(files, found)
    if "model_index.json" in names:
        folders = [*DIFFUSERS, *(["latent_upsampler"] if "spatial upscaler" in NEEDS[pipeline] else [])]
        return _select(files, {"model_index.json", *_diffusers(names, folders)})
    if gemma := [name for name in names if GEMMA_WEIGHTS.fullmatch(name)]:
        return _select(files, {*gemma, *(name for name in names if name.endswith(SMALL))})
    weights = [name for name in names if name.endswith(".safetensors")]
    if len(weights) == 1:
        return _select(files, weights)
    raise LoaderError(_nothing(repo, weights, names))


def model_paths(folder: Path, files: Iterable[RemoteFile]) -> dict[str, Path]:
    """What the files that `needed_files` chose are, in the folder that they lie in.

    Returns:
        Paths by "checkpoint", "gemma", "spatial upscaler", "distilled LoRA", as far as they are there; a
        single file of another name is the "checkpoint" (or whatever the caller takes it for).
    """
    names = [file.name for file in files]
    paths: dict[str, Path] = {}
    for role, pattern in PATTERNS.items():
        for name in names:
            if re.fullmatch(pattern, name):
                paths["checkpoint" if role in ("dev", "distilled") else role] = folder / name
    if paths:
        return paths
    if "model_index.json" in names:
        paths = {"checkpoint": folder}
        if any(name.startswith("text_encoder/") for name in names):
            paths["gemma"] = folder
        if any(name.startswith("latent_upsampler/") for name in names):
            paths["spatial upscaler"] = folder / "latent_upsampler"
        return paths
    if any(GEMMA_WEIGHTS.fullmatch(name) for name in names):
        return {"gemma": folder}
    return {"checkpoint": folder / names[0]}


def _select(files: Iterable[RemoteFile], names: Iterable[str]) -> list[RemoteFile]:
    wanted = set(names)
    return [file for file in files if file.name in wanted]


def _newest(pattern: str, names: Iterable[str], fp8: bool) -> str | None:
    """The matching file of the highest version; of the two precisions the one asked for, if there."""
    matches = [match for name in names if (match := re.fullmatch(pattern, name))]

    def rank(match: re.Match[str]) -> tuple[bool, tuple[int, ...]]:
        groups = match.groupdict()
        version = tuple(int(part) for part in (groups["version"] or "0").split(".") if part)
        return (groups.get("fp8") is not None) == fp8, version

    return max(matches, key=rank)[0] if matches else None


def _diffusers(names: set[str], folders: Iterable[str]) -> Iterable[str]:
    """Configs, and the weights without a variant ("fp16") in their names."""
    for folder in folders:
        for name in sorted(names):
            if not name.startswith(f"{folder}/"):
                continue
            file = name.removeprefix(f"{folder}/")
            stem = WEIGHTS.removesuffix(".safetensors") if folder in CLASSES else "model"
            weights = re.fullmatch(rf"{stem}(-\d+-of-\d+)?\.safetensors", file)
            if weights or file.endswith(SMALL):
                yield name


def _nothing(repo: str, weights: list[str], names: set[str]) -> str:
    if weights:
        return (
            f"{repo} holds {len(weights)} weight files and none of the official names, so that there is no "
            f"rule which to take; name them: {', '.join(sorted(weights)[:8])}"
        )
    if any(name.endswith((".bin", ".pt", ".ckpt", ".pth")) for name in names):
        return f"{repo} holds pickle files only, which are never read here; use a repository with safetensors"
    return f"{repo} holds no .safetensors files; check the name"
