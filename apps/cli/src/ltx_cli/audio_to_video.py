"""`ltx audio-to-video`: a clip to a given sound."""

from pathlib import Path
from typing import Annotated

import typer
from ltx_pipelines import AudioToVideoConfig, AudioToVideoPipeline, check_output

from ltx_cli.arguments import parse_image
from ltx_cli.clip import Clip
from ltx_cli.clips import clip_command
from ltx_cli.groups import Without
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.models import ModelOptions
from ltx_cli.options import Images, OutputOptions, Prompt, RunOptions, SizeOptions
from ltx_cli.sizes import fitted


@clip_command
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
) -> Clip:
    """Make a clip to a sound, which stays as it is, in two guided stages.

    The sound is cut to the length of the clip (--num-frames at --frame-rate).
    """
    check_output(out.output)
    files = model.files()
    for_picture = tuple(name for name in vars(guidance) if not name.startswith("audio_"))
    guidance.refuse("audio-to-video: the sound is given, not made", but=for_picture)
    config = AudioToVideoConfig(
        **{**files.clip, **fitted(AudioToVideoConfig, size.fields())},
        **guidance.fields(),
        **run.fields(),
        prompt=prompt,
        audio=audio,
        audio_start=audio_start,
        images=tuple(map(parse_image, image or ())),
    )
    refiner = files.require_distilled_lora()
    models = files.open(distilled=False, two_stages=True)
    return Clip(files, AudioToVideoPipeline(models, refiner), config, out.output, run.enhance_prompt)
