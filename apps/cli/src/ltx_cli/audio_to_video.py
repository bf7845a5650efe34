"""`ltx audio-to-video`: a clip to a given sound."""

from pathlib import Path
from typing import Annotated

import typer
from ltx_pipelines import AudioToVideoConfig, AudioToVideoPipeline, check_output

from ltx_cli.arguments import parse_image
from ltx_cli.groups import Without, grouped_options
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.models import ModelOptions
from ltx_cli.options import Images, OutputOptions, Prompt, RunOptions, SizeOptions
from ltx_cli.running import make_clip


@grouped_options
def audio_to_video(
    prompt: Prompt,
    *,
    audio: Annotated[Path, typer.Option(help="Sound file, or a video whose sound is meant.")],
    audio_start: Annotated[float, typer.Option(help="Seconds into it where the clip begins.")] = 0.0,
    image: Images = None,
    size: SizeOptions,
    run: RunOptions,
    guidance: GuidanceOptions,
    model: ModelOptions,
    out: Annotated[OutputOptions, Without("no_audio")],
) -> None:
    """Make a clip to a sound, which stays as it is, in two guided stages.

    The sound is cut to the length of the clip (--num-frames at --frame-rate).
    """
    check_output(out.output)
    files = model.files()
    for_picture = tuple(name for name in vars(guidance) if not name.startswith("audio_"))
    guidance.refuse("audio-to-video: the sound is given, not made", but=for_picture)
    config = AudioToVideoConfig(
        **{**files.clip, **size.fields()},
        **guidance.fields(),
        **run.fields(),
        prompt=prompt,
        audio=audio,
        audio_start=audio_start,
        images=tuple(map(parse_image, image or ())),
    )
    refiner = files.require_distilled_lora()
    models = files.open(distilled=False, two_stages=True)
    make_clip(files, AudioToVideoPipeline(models, refiner), config, out.output, enhance=run.enhance_prompt)
