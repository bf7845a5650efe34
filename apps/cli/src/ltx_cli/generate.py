"""`ltx generate`: a prompt to an mp4 file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from ltx_core import ConfigError
from ltx_pipelines import (
    ClipConfig,
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

from ltx_cli.arguments import parse_image
from ltx_cli.clip import Clip
from ltx_cli.clips import clip_command
from ltx_cli.groups import flags, given
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.models import ModelFiles, ModelOptions
from ltx_cli.options import Images, OutputOptions, Prompt, RunOptions, SizeOptions
from ltx_cli.sizes import fitted


class PipelineName(StrEnum):
    distilled = "distilled"
    text_to_video = "text-to-video"
    one_stage = "one-stage"
    two_stage = "two-stage"
    two_stage_hq = "two-stage-hq"


CONFIGS: dict[PipelineName, type[ClipConfig]] = {
    PipelineName.distilled: DistilledConfig,
    PipelineName.text_to_video: TextToVideoConfig,
    PipelineName.one_stage: OneStageConfig,
    PipelineName.two_stage: TwoStageConfig,
    PipelineName.two_stage_hq: TwoStageHQConfig,
}


@clip_command
def generate(
    prompt: Prompt,
    *,
    distilled_lora_strength_stage_1: Annotated[
        float | None, typer.Option(help="Of the distilled LoRA in the guided stage of two-stage-hq (0.25).")
    ] = None,
    distilled_lora_strength_stage_2: Annotated[
        float | None, typer.Option(help="The same in its second stage (0.5).")
    ] = None,
    pipeline: Annotated[
        PipelineName,
        typer.Option(
            help="distilled: 8 + 3 steps, for distilled checkpoints or with the distilled LoRA; the others "
            "are guided, the two-stage ones at half size and then refined with the distilled LoRA."
        ),
    ] = PipelineName.distilled,
    image: Images = None,
    double_frame_rate: Annotated[
        bool,
        typer.Option("--double-frame-rate", help="Put a new frame between every two, in latent space."),
    ] = False,
    temporal_upscaler: Annotated[
        Path | None, typer.Option(help="Latent upscaler x2 in time, for --double-frame-rate.")
    ] = None,
    size: SizeOptions,
    run: RunOptions,
    guidance: GuidanceOptions,
    model: ModelOptions,
    out: OutputOptions,
) -> Clip:
    """Make a clip with sound from a prompt.

    Without --checkpoint and --gemma, the pocket model makes it: a small one that ships with this command.
    """
    check_output(out.output)
    files = model.files()
    clip: dict[str, Any] = {
        **files.clip,
        **fitted(CONFIGS[pipeline], size.fields()),
        **run.fields(),
        "prompt": prompt,
        "images": tuple(parse_image(value) for value in image or ()),
        "generate_audio": not out.no_audio,
    }
    strengths = given(
        distilled_lora_strength_stage_1=distilled_lora_strength_stage_1,
        distilled_lora_strength_stage_2=distilled_lora_strength_stage_2,
    )
    name = f"--pipeline {pipeline.value}"
    _check_strengths(pipeline, files, strengths)
    config: Any
    runner: Pipeline[Any]
    if pipeline is PipelineName.distilled:
        guidance.refuse(f"{name}: it runs without guidance; use --pipeline one-stage or two-stage")
        config = DistilledConfig(**clip)
        runner = DistilledPipeline(files.open(distilled=True))
    elif pipeline is PipelineName.two_stage:
        config, refiner = TwoStageConfig(**clip, **guidance.fields()), files.require_distilled_lora()
        runner = TwoStagePipeline(files.open(distilled=False, two_stages=True), refiner)
    elif pipeline is PipelineName.two_stage_hq:
        config, refiner = TwoStageHQConfig(**clip, **guidance.fields()), files.require_distilled_lora()
        models = files.open(distilled=False, two_stages=True)
        runner = TwoStageHQPipeline(models, refiner, **strengths)
    elif pipeline is PipelineName.text_to_video:
        why = f"{name}: it knows prompt guidance only; use --pipeline one-stage"
        guidance.refuse(why, but=("negative_prompt", "cfg_scale", "audio_cfg_scale"))
        files.refuse_distilled_lora(f"{name}: it has no second stage; use --pipeline two-stage")
        config = TextToVideoConfig(**clip, **guidance.fields())
        runner = TextToVideoPipeline(files.open(distilled=False))
    else:
        files.refuse_distilled_lora(f"{name}: it has no second stage; use --pipeline two-stage")
        config = OneStageConfig(**clip, **guidance.fields())
        runner = OneStagePipeline(files.open(distilled=False))
    upscaler = None
    if double_frame_rate or temporal_upscaler is not None:
        upscaler = files.require_temporal_upscaler(temporal_upscaler)
    return Clip(files, runner, config, out.output, run.enhance_prompt, upscaler)


def _check_strengths(pipeline: PipelineName, files: ModelFiles, strengths: dict[str, float]) -> None:
    """A strength stands behind the path of the distilled LoRA, for two-stage-hq in options of its own."""
    if pipeline is not PipelineName.two_stage_hq:
        if strengths:
            raise ConfigError(
                f"{flags(*strengths)} cannot be used with --pipeline {pipeline.value}; give the strength "
                "behind the path: --distilled-lora PATH STRENGTH"
            )
    elif files.distilled_lora is not None and files.distilled_lora.strength != 1:
        raise ConfigError(
            f"--distilled-lora has the strength {files.distilled_lora.strength:g}, but two-stage-hq has one "
            "for each stage; give --distilled-lora-strength-stage-1 and --distilled-lora-strength-stage-2"
        )
