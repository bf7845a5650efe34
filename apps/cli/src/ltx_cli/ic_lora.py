"""`ltx ic-lora`: a clip after a reference video, by an in-context LoRA."""

from pathlib import Path
from typing import Annotated

import typer
from ltx_pipelines import ICLoraConfig, ICLoraPipeline, check_output

from ltx_cli.arguments import parse_image, parse_lora, parse_reference
from ltx_cli.clip import Clip
from ltx_cli.clips import clip_command
from ltx_cli.groups import Without
from ltx_cli.models import ModelOptions
from ltx_cli.options import Images, OutputOptions, Prompt, RunOptions, SizeOptions
from ltx_cli.sizes import fitted


@clip_command
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
        list[str] | None,
        typer.Option(
            metavar="PATH [STRENGTH]",
            help="In-context LoRA at a strength (1). Repeatable. The pocket model has one of its own.",
        ),
    ] = None,
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
    image: Images = None,
    size: SizeOptions,
    run: RunOptions,
    model: Annotated[ModelOptions, Without("lora")],
    out: OutputOptions,
) -> Clip:
    """Make a clip after a reference video, with an in-context LoRA on a distilled model.

    The frames of the reference are taken one by one, up to the length of the clip. The pocket model's own
    LoRA lets things move as a white silhouette on black does.
    """
    check_output(out.output)
    files = model.files()
    config = ICLoraConfig(
        **{**files.clip, **fitted(ICLoraConfig, size.fields())},
        **run.fields(),
        prompt=prompt,
        images=tuple(parse_image(value) for value in image or ()),
        generate_audio=not out.no_audio,
        video_conditioning=tuple(parse_reference(value) for value in video_conditioning),
        conditioning_attention_strength=conditioning_attention_strength,
        conditioning_attention_mask=conditioning_attention_mask,
        skip_stage_2=skip_stage_2,
    )
    loras = [parse_lora(value) for value in lora or ()] or files.own_ic_loras()
    runner = ICLoraPipeline(files.open(distilled=True), loras)
    return Clip(files, runner, config, out.output, run.enhance_prompt)
