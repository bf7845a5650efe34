"""`ltx extend`: new frames behind or before a clip."""

from pathlib import Path
from typing import Annotated, Any

import typer
from ltx_pipelines import ExtendConfig, ExtendPipeline, VideoInput, check_output

from ltx_cli.clip import Clip
from ltx_cli.clips import clip_command
from ltx_cli.groups import Without, given
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.models import ModelOptions
from ltx_cli.options import Guided, OutputOptions, RunOptions, SourceSizeOptions
from ltx_cli.sizes import fitted_to_source


@clip_command
def extend(
    prompt: Annotated[str, typer.Argument(help="What the clip, old and new, shows and sounds like.")],
    *,
    video: Annotated[Path, typer.Option(help="The clip to extend: any file that ffmpeg reads.")],
    new_frames: Annotated[int, typer.Option(help="Frames to make: a multiple of 8.")],
    before: Annotated[
        bool, typer.Option("--before", help="Put them before the clip, not behind it.")
    ] = False,
    overlap_frames: Annotated[
        int, typer.Option(help="Frames of the clip at the seam that may change, a multiple of 8.")
    ] = 0,
    num_frames: Annotated[
        int | None,
        typer.Option(help="What the model works on at once, 8 k + 1: new frames and the clip's beside them."),
    ] = None,
    guided: Guided = False,
    size: Annotated[SourceSizeOptions, Without("num_frames")],
    run: RunOptions,
    guidance: GuidanceOptions,
    model: Annotated[ModelOptions, Without("spatial_upscaler")],
    out: OutputOptions,
) -> Clip:
    """Make a clip longer, picture and sound; the clip itself stays as it is.

    A silent clip stays silent. Frames and samples of the clip are kept, up to the encoding of the file.
    """
    check_output(out.output)
    files = model.files()
    if not guided:
        guidance.refuse("the distilled schedule, which runs without guidance; add --guided")
    own: dict[str, Any] = {name: files.clip[name] for name in ("num_frames",) if name in files.clip}
    source = VideoInput(video)
    config = ExtendConfig(
        **fitted_to_source(ExtendConfig, size.fields(), source),
        **{**own, **given(num_frames=num_frames)},
        **guidance.fields(),
        **run.fields(),
        prompt=prompt,
        source=source,
        new_frames=new_frames,
        before=before,
        overlap_frames=overlap_frames,
        generate_audio=not out.no_audio,
    )
    models = files.open(distilled=not guided)
    runner = ExtendPipeline(models, distilled=not guided)
    return Clip(files, runner, config, out.output, run.enhance_prompt)
