"""`ltx generate`: a prompt to an mp4 file."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from ltx_core import ConfigError
from ltx_pipelines import (
    DistilledConfig,
    DistilledPipeline,
    OneStageConfig,
    OneStagePipeline,
    Pipeline,
    TextToVideoConfig,
    TextToVideoPipeline,
    check_output,
)
from rich.console import Console

from ltx_cli.arguments import parse_image, parse_lora
from ltx_cli.models import ModelFiles
from ltx_cli.progress import bars, print_plan


class PipelineName(StrEnum):
    distilled = "distilled"
    text_to_video = "text-to-video"
    one_stage = "one-stage"


def generate(
    prompt: Annotated[str, typer.Argument(help="What the clip should show and sound like.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="LTX-2 checkpoint, the official single file; the pocket model if not given."),
    ] = None,
    gemma: Annotated[
        Path | None, typer.Option(help="Folder of the Gemma 3 text encoder, with --checkpoint.")
    ] = None,
    spatial_upscaler: Annotated[
        Path | None, typer.Option(help="Latent upscaler x2, for the distilled pipeline.")
    ] = None,
    pipeline: Annotated[
        PipelineName, typer.Option(help="distilled: 8 + 3 steps, for distilled checkpoints.")
    ] = PipelineName.distilled,
    height: Annotated[int | None, typer.Option(help="Pixels; multiple of 32, distilled 64.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels; multiple of 32, distilled 64.")] = None,
    num_frames: Annotated[int | None, typer.Option(help="8 k + 1.")] = None,
    frame_rate: Annotated[float | None, typer.Option(help="Frames per second.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; the model's own if not given.")] = None,
    cfg_scale: Annotated[float | None, typer.Option(help="Prompt guidance of the video; 1 is none.")] = None,
    audio_cfg_scale: Annotated[float | None, typer.Option(help="Prompt guidance of the sound.")] = None,
    stg_scale: Annotated[
        float | None, typer.Option(help="Spatio-temporal guidance (one-stage); 0 is none.")
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="What to stay away from; the model's own if not given.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH [FRAME] [STRENGTH]", help="Image at a frame (0; -1 = last). Repeatable."),
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH [STRENGTH]", help="LoRA at a strength (1). Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all noise.")] = 10,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    no_audio: Annotated[bool, typer.Option("--no-audio", help="A silent clip.")] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="The mp4 file to write.")] = Path("clip.mp4"),
) -> None:
    """Make a clip with sound from a prompt.

    Without --checkpoint and --gemma, the pocket model makes it: a small one that ships with this command.
    """
    started = time.monotonic()
    check_output(output)
    files = ModelFiles(checkpoint, gemma, spatial_upscaler)
    loras = [parse_lora(value) for value in lora or ()]
    clip: dict[str, Any] = {
        **files.clip,
        "prompt": prompt,
        "seed": seed,
        "num_inference_steps": steps,
        "images": tuple(parse_image(value) for value in image or ()),
        "generate_audio": not no_audio,
    }
    clip |= _given(height=height, width=width, num_frames=num_frames, frame_rate=frame_rate)
    guidance = _given(
        cfg_scale=cfg_scale,
        audio_cfg_scale=audio_cfg_scale,
        stg_scale=stg_scale,
        negative_prompt=negative_prompt,
    )
    config: Any
    runner: Pipeline[Any]
    if pipeline is PipelineName.distilled:
        _refuse(guidance, pipeline, "it runs without guidance")
        config = DistilledConfig(**clip)
        runner = DistilledPipeline(files.open(loras, dtype, distilled=True))
    elif pipeline is PipelineName.text_to_video:
        _refuse(
            {k: v for k, v in guidance.items() if k == "stg_scale"}, pipeline, "it knows prompt guidance only"
        )
        config = TextToVideoConfig(**clip, **guidance)
        runner = TextToVideoPipeline(files.open(loras, dtype, distilled=False))
    else:
        config = OneStageConfig(**clip, **guidance)
        runner = OneStagePipeline(files.open(loras, dtype, distilled=False))

    console = Console(stderr=True)
    plan = runner.plan(config)
    if note := files.note(prompt):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    print_plan(console, config, plan, runner.models.name, str(runner.models.dtype).removeprefix("mlx.core."))
    with bars(console, plan) as on_step:
        result = runner(config, on_step=on_step)
    result.save(output)
    seconds = time.monotonic() - started
    console.print(f"{output}: made in {seconds:.1f} s", highlight=False, markup=False, soft_wrap=True)


def _given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _refuse(options: dict[str, Any], pipeline: PipelineName, why: str) -> None:
    """An option without effect is an error, not a surprise."""
    if options:
        names = ", ".join("--" + name.replace("_", "-") for name in options)
        raise ConfigError(
            f"{names} cannot be used with --pipeline {pipeline.value}: {why}; use --pipeline one-stage"
        )
