"""`ltx ic-lora`: a clip after a reference video, by an in-context LoRA."""

from pathlib import Path
from typing import Annotated

import typer
from ltx_pipelines import ICLoraConfig, ICLoraPipeline, check_output

from ltx_cli.arguments import parse_distilled_lora, parse_image, parse_lora, parse_reference
from ltx_cli.models import ModelFiles
from ltx_cli.options import (
    CheckpointFile,
    DistilledLora,
    Dtype,
    EnhancePrompt,
    FrameRate,
    GemmaFolder,
    Height,
    Images,
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


def ic_lora(
    prompt: Prompt,
    *,
    video_conditioning: Annotated[
        list[str],
        typer.Option(
            metavar="PATH [STRENGTH]",
            help="Reference video (depth, pose, edges: what the LoRA is for) at a strength (1). Repeatable.",
        ),
    ],
    lora: Annotated[
        list[str],
        typer.Option(metavar="PATH [STRENGTH]", help="In-context LoRA at a strength (1). Repeatable."),
    ],
    conditioning_attention_strength: Annotated[
        float, typer.Option(help="How strongly the clip attends to the reference, 0 to 1.")
    ] = 1.0,
    conditioning_attention_mask: Annotated[
        Path | None,
        typer.Option(
            help="Video as long as the reference: black where it is ignored, white where it counts."
        ),
    ] = None,
    skip_stage_2: Annotated[
        bool, typer.Option("--skip-stage-2", help="End at half the height and width; faster.")
    ] = False,
    checkpoint: CheckpointFile = None,
    gemma: GemmaFolder = None,
    spatial_upscaler: SpatialUpscaler = None,
    distilled_lora: DistilledLora = None,
    height: Height = None,
    width: Width = None,
    num_frames: NumFrames = None,
    frame_rate: FrameRate = None,
    steps: Steps = None,
    image: Images = None,
    enhance_prompt: EnhancePrompt = False,
    seed: Seed = 10,
    dtype: Dtype = "auto",
    no_audio: NoAudio = False,
    output: Output = Path("clip.mp4"),
) -> None:
    """Make a clip after a reference video, with an in-context LoRA on a distilled model.

    The frames of the reference are taken one by one, up to the length of the clip.
    """
    check_output(output)
    files = ModelFiles(checkpoint, gemma, spatial_upscaler, parse_distilled_lora(distilled_lora))
    size = given(height=height, width=width, num_frames=num_frames, frame_rate=frame_rate)
    config = ICLoraConfig(
        **{**files.clip, **size},
        prompt=prompt,
        seed=seed,
        num_inference_steps=steps,
        images=tuple(parse_image(value) for value in image or ()),
        generate_audio=not no_audio,
        video_conditioning=tuple(parse_reference(value) for value in video_conditioning),
        conditioning_attention_strength=conditioning_attention_strength,
        conditioning_attention_mask=conditioning_attention_mask,
        skip_stage_2=skip_stage_2,
    )
    loras = [parse_lora(value) for value in lora]
    make_clip(
        files,
        ICLoraPipeline(files.open([], dtype, distilled=True), loras),
        config,
        output,
        enhance=enhance_prompt,
    )
