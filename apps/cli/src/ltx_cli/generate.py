"""`ltx generate`: a prompt to an mp4 file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from ltx_pipelines import (
    DistilledConfig,
    DistilledPipeline,
    OneStageConfig,
    OneStagePipeline,
    Pipeline,
    TextToVideoConfig,
    TextToVideoPipeline,
    TwoStageConfig,
    TwoStageHQConfig,
    TwoStageHQPipeline,
    TwoStagePipeline,
    check_output,
)

from ltx_cli.arguments import parse_distilled_lora, parse_image, parse_lora
from ltx_cli.guidance import GuidanceOptions, guided_options
from ltx_cli.models import ModelFiles
from ltx_cli.options import (
    CheckpointFile,
    DistilledLora,
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
    two_stage = "two-stage"
    two_stage_hq = "two-stage-hq"


@guided_options
def generate(
    prompt: Prompt,
    *,
    checkpoint: CheckpointFile = None,
    gemma: GemmaFolder = None,
    spatial_upscaler: SpatialUpscaler = None,
    distilled_lora: DistilledLora = None,
    pipeline: Annotated[
        PipelineName,
        typer.Option(
            help="distilled: 8 + 3 steps, for distilled checkpoints or with the distilled LoRA; the others "
            "are guided, the two-stage ones at half size and then refined with the distilled LoRA."
        ),
    ] = PipelineName.distilled,
    height: Height = None,
    width: Width = None,
    num_frames: NumFrames = None,
    frame_rate: FrameRate = None,
    steps: Steps = None,
    guidance: GuidanceOptions,
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
    files = ModelFiles(checkpoint, gemma, spatial_upscaler, parse_distilled_lora(distilled_lora))
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
    config: Any
    runner: Pipeline[Any]
    name = f"--pipeline {pipeline.value}"
    if pipeline is PipelineName.distilled:
        guidance.refuse(f"{name}: it runs without guidance; use --pipeline one-stage or two-stage")
        config = DistilledConfig(**clip)
        runner = DistilledPipeline(files.open(loras, dtype, distilled=True))
    elif pipeline in (PipelineName.two_stage, PipelineName.two_stage_hq):
        two_stage_hq = pipeline is PipelineName.two_stage_hq
        config = (TwoStageHQConfig if two_stage_hq else TwoStageConfig)(**clip, **guidance.fields())
        refiner = files.require_distilled_lora()
        models = files.open(loras, dtype, distilled=False, two_stages=True)
        runner = (TwoStageHQPipeline if two_stage_hq else TwoStagePipeline)(models, refiner)
    else:
        files.refuse_distilled_lora(f"{name}: it has no second stage; use --pipeline two-stage")
        if pipeline is PipelineName.text_to_video:
            why = f"{name}: it knows prompt guidance only; use --pipeline one-stage"
            guidance.refuse(why, but=("negative_prompt", "cfg_scale", "audio_cfg_scale"))
            config = TextToVideoConfig(**clip, **guidance.fields())
            runner = TextToVideoPipeline(files.open(loras, dtype, distilled=False))
        else:
            config = OneStageConfig(**clip, **guidance.fields())
            runner = OneStagePipeline(files.open(loras, dtype, distilled=False))
    make_clip(files, runner, config, output)
