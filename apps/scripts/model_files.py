"""What the scripts share: model files as arguments, or else the pocket model."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltx_core.blas import limit_threads
from ltx_pipelines import CheckpointModels, LoraPathStrength, StageEvent
from ltx_pocket import model as pocket


def parser(about: str | None, output: str = "clip.mp4") -> argparse.ArgumentParser:
    """A command line with a prompt, model files, the size of the clip, and the file to write."""
    arguments = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("prompt")
    arguments.add_argument("--checkpoint", type=Path, help="the pocket model if not given")
    arguments.add_argument("--gemma", type=Path, help="folder of the text encoder")
    arguments.add_argument("--spatial-upscaler", type=Path, help="for two stages")
    arguments.add_argument("--distilled-lora", type=Path, help="for the second stage of guided pipelines")
    for name in ("height", "width", "num-frames", "steps"):
        arguments.add_argument(f"--{name}", type=int)
    arguments.add_argument("--seed", type=int, default=10)
    arguments.add_argument("-o", "--output", type=Path, default=Path(output))
    return arguments


def clip(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Arguments of a pipeline's config: prompt, seed, and what was given of the size (or of these names)."""
    own = pocket.NATIVE_CLIP if arguments.checkpoint is None else {}
    wanted = names or ("height", "width", "num_frames", "frame_rate", "num_inference_steps")
    asked = {**vars(arguments), "num_inference_steps": arguments.steps}
    size = {**own, **{name: value for name, value in asked.items() if value is not None}}
    fields = {name: size[name] for name in wanted if name in size}
    return {"prompt": arguments.prompt, "seed": arguments.seed, **fields}


def open_models(
    arguments: argparse.Namespace, *, distilled: bool, two_stages: bool = False
) -> CheckpointModels:
    """The networks; for the pocket model, with its distilled LoRA if they are to be `distilled`."""
    if arguments.checkpoint is None:
        limit_threads(1)  # it is so small that threads would wait for each other
        return pocket.open_models(pocket.WEIGHTS, distilled=distilled, two_stages=two_stages)
    loras: Sequence[LoraPathStrength] = ()
    if distilled and arguments.distilled_lora is not None:
        loras = [LoraPathStrength(arguments.distilled_lora)]
    return CheckpointModels(arguments.checkpoint, arguments.gemma, arguments.spatial_upscaler, loras=loras)


def distilled_lora(arguments: argparse.Namespace) -> LoraPathStrength | None:
    """For the second stage of a guided pipeline."""
    if arguments.checkpoint is None:
        return pocket.distilled_lora(pocket.WEIGHTS)
    return None if arguments.distilled_lora is None else LoraPathStrength(arguments.distilled_lora)


def show(event: StageEvent) -> None:
    """Progress, a line for each."""
    print(f"{event.stage}: {event.index} of {event.total}")
