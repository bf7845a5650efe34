"""What each of two processes runs: pipelines alone, then together with the other process.

Arguments: the folder of the recorded small models, and a LoRA for them. Prints a JSON object: name of a case
-> largest relative error of the latents.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
from ltx_core.ranks import join
from ltx_pipelines import (
    Cancelled,
    CheckpointModels,
    Devices,
    Division,
    LoraPathStrength,
    Memory,
    OneStageConfig,
    OneStagePipeline,
    StageEvent,
)
from ltx_pipelines.saved import SavedStage

ROOT, LORA = map(Path, sys.argv[1:])


class Denoising:
    """A store that has encoded prompts, and keeps what the denoising stage made of them: nothing before or
    after it is to be computed."""

    def __init__(self, widths: tuple[int, int]) -> None:
        self.latents: list[mx.array] = []
        self.prompts = {
            f"{stream}_{index}": mx.random.normal((1, 8, width), key=mx.random.key(index + width))
            for index in range(2)
            for stream, width in zip(("video", "audio"), widths, strict=True)
        }

    def load(self, stage: str) -> SavedStage | None:
        return SavedStage(self.prompts) if stage == "encode prompt" else None

    def save(self, stage: str, saved: SavedStage) -> None:
        self.latents = list(saved.arrays.values())

    def watch(self, event: StageEvent) -> None:
        if event.stage.startswith("decode"):
            raise Cancelled


def latents(generation: str, devices: Devices | None, clip: dict[str, Any], **options: Any) -> list[mx.array]:
    """Of a guided clip of two steps."""
    folder = ROOT / f"ltx-{generation}"
    models = CheckpointModels(
        folder / "checkpoint.safetensors",
        folder / "gemma",
        loras=[LoraPathStrength(LORA, 0.5)],
        dtype="float32",
        devices=devices,
        **options,
    )
    section = models.checkpoint.section("transformer")
    widths = section["cross_attention_dim"], section["audio_cross_attention_dim"]
    if not section.get("caption_proj_before_connector"):
        widths = (section["caption_channels"],) * 2
    store, size = Denoising(widths), {"height": 64, "width": 64, "num_frames": 9, "num_inference_steps": 2}
    config = OneStageConfig(prompt="a red ball", **{**size, **clip})
    with suppress(Cancelled):
        OneStagePipeline(models)(config, on_step=store.watch, store=store)
    mx.eval(store.latents)
    assert store.latents
    return store.latents


def main() -> None:
    group = join()
    assert group is not None
    cases: dict[str, tuple[str, Division, dict[str, Any], dict[str, Any]]] = {
        "2.0 split": ("2.0", Division.SPLIT, {}, {}),
        "2.0 shard, little memory": ("2.0", Division.SHARD, {}, {"memory": Memory.LOW}),
        "2.3 split, silent": ("2.3", Division.SPLIT, {"generate_audio": False}, {}),
        "2.3 shard": ("2.3", Division.SHARD, {}, {}),
        "2.0 tokens": ("2.0", Division.TOKENS, {"width": 96}, {}),
        "2.3 tokens, little memory": ("2.3", Division.TOKENS, {}, {"memory": Memory.LOW}),
    }
    results = {}
    for name, (generation, division, clip, options) in cases.items():
        want = latents(generation, None, clip)
        got = latents(generation, Devices(group, division), clip, **options)
        results[name] = max(
            float(mx.linalg.norm((a - b).flatten()) / mx.linalg.norm(b.flatten()))
            for a, b in zip(got, want, strict=True)
        )
    print(json.dumps(results))


main()
