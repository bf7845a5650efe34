"""From what the training stages have written to the files of a released LTX-2, in the official layout.

    python -m ltx_pocket.pack --diffusion runs/transformer/diffusion.safetensors \\
        --video-vae runs/video_vae/video_vae.safetensors --audio-vae runs/audio_vae/audio_vae.safetensors \\
        --vocoder runs/vocoder/vocoder.safetensors --lora runs/distill/distilled_lora.safetensors \\
        --spatial-upscaler runs/upscaler/spatial_upscaler.safetensors --tokenizer runs/gemma

Writes `checkpoint.safetensors`, `distilled_lora.safetensors`, the upscalers, the example LoRAs and the folder
`gemma`.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
from ltx_loaders import Checkpoint, LoaderError, Lora, SafetensorsHeader, fuse_loras
from ltx_loaders.sources import read_config, read_tensors

from ltx_pocket.configs import scheduler
from ltx_pocket.files import (
    CHECKPOINT,
    DISTILLED_LORA,
    GEMMA_FOLDER,
    IC_LORA,
    SPATIAL_UPSCALER,
    STYLE_LORA,
    TEMPORAL_UPSCALER,
    WEIGHTS,
)
from ltx_pocket.train.files import official_tensors, write_checkpoint
from ltx_pocket.train.weights import GEMMA, fingerprint

BUDGET = 24_000_000
"""Bytes that all weights together may have."""


@dataclass(frozen=True)
class Parts:
    """Files of the training stages; None for what is left out.

    Attributes:
        diffusion: transformer, connectors and text encoder.
        video_vae, audio_vae, vocoder: of their stages, or the checkpoint of a packed model.
        tokenizer: folder with the tokenizer's two files.
        lora: of the distillation.
        style, ic_lora: the example LoRAs.
    """

    diffusion: Path
    video_vae: Path
    audio_vae: Path
    vocoder: Path
    tokenizer: Path
    lora: Path | None = None
    spatial_upscaler: Path | None = None
    temporal_upscaler: Path | None = None
    style: Path | None = None
    ic_lora: Path | None = None


def _read(path: Path) -> tuple[dict[str, mx.array], dict[str, Any]]:
    header = SafetensorsHeader.read(path)
    return read_tensors(header), read_config(header)


def pack(parts: Parts, folder: Path) -> dict[str, int]:
    """Write the files of the model, and return their sizes in bytes.

    Raises:
        LoaderError: a file is damaged, or the tokenizer is not the one that the model was trained with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    diffusion, config = _read(parts.diffusion)
    if config["tokenizer"] != fingerprint(parts.tokenizer):
        raise LoaderError(f"{parts.diffusion} was trained with another tokenizer than {parts.tokenizer}")
    tensors: dict[str, mx.array] = {}
    sections: dict[str, Any] = {}
    for path in (parts.video_vae, parts.audio_vae, parts.vocoder):
        more, own = _read(path)
        tensors |= more
        sections |= {name: section for name, section in own.items() if section}
    # Last: a part may come from a packed model, which has a transformer of its own.
    tensors |= {name: value for name, value in diffusion.items() if not name.startswith(GEMMA)}
    sections["transformer"] = config["transformer"]
    sections["scheduler"] = scheduler()
    written = [write_checkpoint(folder / CHECKPOINT, tensors, sections, mx.bfloat16)]
    written += _pack_gemma(diffusion, config["gemma"], parts.tokenizer, folder / GEMMA_FOLDER)
    for lora, name in ((parts.lora, DISTILLED_LORA), (parts.style, STYLE_LORA), (parts.ic_lora, IC_LORA)):
        if lora:
            written.append(_copy(lora, folder / name))
    for source, name in (
        (parts.spatial_upscaler, SPATIAL_UPSCALER),
        (parts.temporal_upscaler, TEMPORAL_UPSCALER),
    ):
        if source:
            upscaler, own = _read(source)
            written.append(write_checkpoint(folder / name, upscaler, own, mx.bfloat16))
    return {str(path.relative_to(folder)): path.stat().st_size for path in written}


def _pack_gemma(
    tensors: Mapping[str, mx.array], config: Mapping[str, Any], tokenizer: Path, folder: Path
) -> list[Path]:
    """The folder of the text encoder, as the Hugging Face hub has them."""
    folder.mkdir(exist_ok=True)
    weights = {
        "model." + name.removeprefix(GEMMA): value.astype(mx.bfloat16)
        for name, value in tensors.items()
        if name.startswith(GEMMA)
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    copied = [_copy(tokenizer / name, folder / name) for name in ("tokenizer.json", "tokenizer_config.json")]
    return [folder / "model.safetensors", folder / "config.json", *copied]


def _copy(source: Path, target: Path) -> Path:
    if source.resolve() != target.resolve():
        shutil.copyfile(source, target)
    return target


def write_distilled(checkpoint: Path, lora: Path, path: Path, strength: float = 1.0) -> Path:
    """Write a checkpoint with the LoRA in its transformer, for those who want one file.

    Raises:
        LoaderError: a file is damaged, or the LoRA is for another network.
    """
    opened = Checkpoint.open(checkpoint)
    transformer = opened.build("transformer", mx.float32)
    fuse_loras(transformer, [(Lora.open(lora), strength)])
    tensors = read_tensors(opened.header) | official_tensors("transformer", transformer)
    return write_checkpoint(path, tensors, dict(opened.config), mx.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("diffusion", "video-vae", "audio-vae", "vocoder", "tokenizer"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("lora", "spatial-upscaler", "temporal-upscaler", "style", "ic-lora"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--distilled", type=Path, help="also write a checkpoint with the LoRA in it here")
    values = vars(parser.parse_args())
    out, distilled = values.pop("out"), values.pop("distilled")
    parts = Parts(**values)
    sizes = pack(parts, out)
    for name, size in sizes.items():
        print(f"{size / 1e6:8.3f} MB  {name}")
    total = sum(sizes.values())
    print(f"{total / 1e6:8.3f} MB  of {BUDGET / 1e6:g} MB")
    if distilled and parts.lora:
        write_distilled(out / CHECKPOINT, parts.lora, distilled)
    if total > BUDGET:
        sys.exit("the weights are larger than they may be")


if __name__ == "__main__":
    main()
