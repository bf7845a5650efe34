"""`ltx generate`: a prompt to an mp4 file."""

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

from ltx_cli.arguments import parse_image, parse_lora
from ltx_cli.models import ModelFiles
from ltx_cli.options import (
    CheckpointFile,
    Dtype,
    FrameRate,
    GemmaFolder,
    Height,
    Images,
    Loras,
    NoAudio,
    NumFrames,
    Output,
    Prompt,
    Seed,
    SpatialUpscaler,
    Steps,
    Width,
)
from ltx_cli.running import given, make_clip


class PipelineName(StrEnum):
    distilled = "distilled"
    text_to_video = "text-to-video"
    one_stage = "one-stage"


def generate(
    prompt: Prompt,
    checkpoint: CheckpointFile = None,
    gemma: GemmaFolder = None,
    spatial_upscaler: SpatialUpscaler = None,
    pipeline: Annotated[
        PipelineName, typer.Option(help="distilled: 8 + 3 steps, for distilled checkpoints.")
    ] = PipelineName.distilled,
    height: Height = None,
    width: Width = None,
    num_frames: NumFrames = None,
    frame_rate: FrameRate = None,
    steps: Steps = None,
    cfg_scale: Annotated[float | None, typer.Option(help="Prompt guidance of the video; 1 is none.")] = None,
    audio_cfg_scale: Annotated[float | None, typer.Option(help="Prompt guidance of the sound.")] = None,
    stg_scale: Annotated[
        float | None, typer.Option(help="Spatio-temporal guidance (one-stage); 0 is none.")
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="What to stay away from; the model's own if not given.")
    ] = None,
    image: Images = None,
    lora: Loras = None,
    seed: Seed = 10,
    dtype: Dtype = "auto",
    no_audio: NoAudio = False,
    output: Output = Path("clip.mp4"),
) -> None:
    """Make a clip with sound from a prompt.

    Without --checkpoint and --gemma, the pocket model makes it: a small one that ships with this command.
    """
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
    clip |= given(height=height, width=width, num_frames=num_frames, frame_rate=frame_rate)
    guidance = given(
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
    make_clip(files, runner, config, output)


def _refuse(options: dict[str, Any], pipeline: PipelineName, why: str) -> None:
    """An option without effect is an error, not a surprise."""
    if options:
        names = ", ".join("--" + name.replace("_", "-") for name in options)
        raise ConfigError(
            f"{names} cannot be used with --pipeline {pipeline.value}: {why}; use --pipeline one-stage"
        )
