"""`ltx retake`: a time range of a clip made anew."""

from pathlib import Path
from typing import Annotated

import typer
from ltx_pipelines import RetakeConfig, RetakePipeline, check_output

from ltx_cli.groups import Without, grouped_options
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.models import ModelOptions
from ltx_cli.options import (
    EnhancePrompt,
    NoAudio,
    Output,
    Seed,
    Steps,
)
from ltx_cli.running import given, make_clip


@grouped_options
def retake(
    prompt: Annotated[str, typer.Argument(help="What the new part should show and sound like.")],
    *,
    video: Annotated[Path, typer.Option(help="The clip to change: any file that ffmpeg reads.")],
    start_time: Annotated[float, typer.Option(help="Where the new part begins, in seconds.")],
    end_time: Annotated[float, typer.Option(help="Where it ends, in seconds.")],
    keep_video: Annotated[bool, typer.Option("--keep-video", help="Change the sound only.")] = False,
    keep_audio: Annotated[bool, typer.Option("--keep-audio", help="Change the picture only.")] = False,
    height: Annotated[int | None, typer.Option(help="Pixels, multiple of 32; the clip's own.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels, multiple of 32; the clip's own.")] = None,
    num_frames: Annotated[
        int | None, typer.Option(help="8 k + 1, from its beginning; as many as the clip has.")
    ] = None,
    frame_rate: Annotated[float | None, typer.Option(help="Frames per second; the clip's own.")] = None,
    guided: Annotated[
        bool, typer.Option("--guided", help="Many steps under guidance, for undistilled checkpoints.")
    ] = False,
    steps: Steps = None,
    guidance: GuidanceOptions,
    enhance_prompt: EnhancePrompt = False,
    seed: Seed = 10,
    no_audio: NoAudio = False,
    model: Annotated[ModelOptions, Without("spatial_upscaler")],
    output: Output = Path("clip.mp4"),
) -> None:
    """Make a part of a clip anew, picture and sound; the rest stays as it is.

    Picture and sound of the whole clip go through the autoencoders, and come out slightly different.
    """
    check_output(output)
    files = model.files()
    if not guided:
        guidance.refuse("the distilled schedule, which runs without guidance; add --guided")
    config = RetakeConfig(
        **given(height=height, width=width, num_frames=num_frames, frame_rate=frame_rate),
        **guidance.fields(),
        prompt=prompt,
        source=video,
        start_time=start_time,
        end_time=end_time,
        regenerate_video=not keep_video,
        regenerate_audio=not keep_audio,
        num_inference_steps=steps,
        generate_audio=not no_audio,
        seed=seed,
    )
    models = files.open(distilled=not guided)
    make_clip(files, RetakePipeline(models, distilled=not guided), config, output, enhance=enhance_prompt)
