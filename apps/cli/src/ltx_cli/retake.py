"""`ltx retake`: a time range of a clip made anew."""

from pathlib import Path
from typing import Annotated

import typer
from ltx_pipelines import RetakeConfig, RetakePipeline, VideoInput, check_output

from ltx_cli.clip import Clip
from ltx_cli.clips import clip_command
from ltx_cli.groups import Without, given
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.models import ModelOptions
from ltx_cli.options import Guided, OutputOptions, RunOptions, SourceSizeOptions
from ltx_cli.sizes import fitted_to_source


@clip_command
def retake(
    prompt: Annotated[str, typer.Argument(help="What the new part should show and sound like.")],
    *,
    video: Annotated[Path, typer.Option(help="The clip to change: any file that ffmpeg reads.")],
    start_time: Annotated[float, typer.Option(help="Where the new part begins, in seconds.")],
    end_time: Annotated[float, typer.Option(help="Where it ends, in seconds.")],
    keep_video: Annotated[bool, typer.Option("--keep-video", help="Change the sound only.")] = False,
    keep_audio: Annotated[bool, typer.Option("--keep-audio", help="Change the picture only.")] = False,
    no_splice: Annotated[
        bool,
        typer.Option("--no-splice", help="Take the rest from the autoencoders, too, as the official code."),
    ] = False,
    num_frames: Annotated[
        int | None, typer.Option(help="8 k + 1, from its beginning; as many as the clip has.")
    ] = None,
    guided: Guided = False,
    size: Annotated[SourceSizeOptions, Without("num_frames")],
    run: RunOptions,
    guidance: GuidanceOptions,
    model: Annotated[ModelOptions, Without("spatial_upscaler")],
    out: OutputOptions,
) -> Clip:
    """Make a part of a clip anew, picture and sound; the rest stays as it is."""
    check_output(out.output)
    files = model.files()
    if not guided:
        guidance.refuse("the distilled schedule, which runs without guidance; add --guided")
    source = VideoInput(video)
    config = RetakeConfig(
        **fitted_to_source(RetakeConfig, {**size.fields(), **given(num_frames=num_frames)}, source),
        **guidance.fields(),
        **run.fields(),
        prompt=prompt,
        source=source,
        start_time=start_time,
        end_time=end_time,
        regenerate_video=not keep_video,
        regenerate_audio=not keep_audio,
        splice=not no_splice,
        generate_audio=not out.no_audio,
    )
    models = files.open(distilled=not guided)
    runner = RetakePipeline(models, distilled=not guided)
    return Clip(files, runner, config, out.output, run.enhance_prompt)
