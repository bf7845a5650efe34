"""What each of two processes runs: pipelines alone, then together with the other process.

Arguments: the folder of the recorded small models, and a LoRA for them. Prints a JSON object: name of a case
-> largest relative error of the latents.
"""

import json
import sys
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
from ltx_core.ranks import join
from ltx_pipelines import (
    CheckpointModels,
    Devices,
    Division,
    LoraPathStrength,
    Memory,
    OneStageConfig,
    OneStagePipeline,
)
from ltx_pipelines.saved import SavedStage

ROOT, LORA = map(Path, sys.argv[1:])


class Prompts(dict[str, SavedStage]):
    """What keeps encoded prompts, which take most of the time, and nothing else."""

    def load(self, stage: str) -> SavedStage | None:
        return self.get(stage)

    def save(self, stage: str, saved: SavedStage) -> None:
        if stage == "encode prompt":
            self[stage] = saved


def latents(
    generation: str, prompts: Prompts, devices: Devices | None, clip: dict[str, Any], **options: Any
) -> list[mx.array]:
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
    size: dict[str, Any] = {"height": 64, "width": 64, "num_frames": 9, "num_inference_steps": 2}
    config = OneStageConfig(prompt="a red ball", **size, **clip)
    result = OneStagePipeline(models)(config, store=prompts)
    return [value for value in (result.video_latent, result.audio_latent) if value is not None]


def main() -> None:
    group = join()
    assert group is not None
    cases: dict[str, tuple[str, Division, dict[str, Any], dict[str, Any]]] = {
        "2.0 split": ("2.0", Division.SPLIT, {}, {}),
        "2.0 shard, little memory": ("2.0", Division.SHARD, {}, {"memory": Memory.LOW}),
        "2.3 split, silent": ("2.3", Division.SPLIT, {"generate_audio": False}, {}),
        "2.3 shard": ("2.3", Division.SHARD, {}, {}),
    }
    results, prompts = {}, {"2.0": Prompts(), "2.3": Prompts()}
    for name, (generation, division, clip, options) in cases.items():
        want = latents(generation, prompts[generation], None, clip)
        got = latents(generation, prompts[generation], Devices(group, division), clip, **options)
        results[name] = max(
            float(mx.linalg.norm((a - b).flatten()) / mx.linalg.norm(b.flatten()))
            for a, b in zip(got, want, strict=True)
        )
    print(json.dumps(results))


main()
