"""`ltx audio-to-video`: a clip to a given sound."""

from pathlib import Path
from typing import Annotated

import typer
from ltx_pipelines import AudioToVideoConfig, AudioToVideoPipeline, check_output

from ltx_cli.arguments import parse_image
from ltx_cli.groups import grouped_options
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.models import ModelOptions
from ltx_cli.options import (
    EnhancePrompt,
    FrameRate,
    Height,
    Images,
    NumFrames,
    Output,
    Prompt,
    Seed,
    Steps,
    Width,
)
from ltx_cli.running import given, make_clip


@grouped_options
def audio_to_video(
    prompt: Prompt,
    *,
    audio: Annotated[Path, typer.Option(help="Sound file, or a video whose sound is meant.")],
    audio_start: Annotated[float, typer.Option(help="Seconds into it where the clip begins.")] = 0.0,
    height: Height = None,
    width: Width = None,
    num_frames: NumFrames = None,
    frame_rate: FrameRate = None,
    steps: Steps = None,
    guidance: GuidanceOptions,
    image: Images = None,
    enhance_prompt: EnhancePrompt = False,
    seed: Seed = 10,
    model: ModelOptions,
    output: Output = Path("clip.mp4"),
) -> None:
    """Make a clip to a sound, which stays as it is, in two guided stages.

    The sound is cut to the length of the clip (--num-frames at --frame-rate).
    """
    check_output(output)
    files = model.files()
    for_picture = tuple(name for name in vars(guidance) if not name.startswith("audio_"))
    guidance.refuse("audio-to-video: the sound is given, not made", but=for_picture)
    size = given(height=height, width=width, num_frames=num_frames, frame_rate=frame_rate)
    config = AudioToVideoConfig(
        **{**files.clip, **size},
        **guidance.fields(),
        prompt=prompt,
        audio=audio,
        audio_start=audio_start,
        images=tuple(map(parse_image, image or ())),
        num_inference_steps=steps,
        seed=seed,
    )
    refiner = files.require_distilled_lora()
    models = files.open(distilled=False, two_stages=True)
    make_clip(files, AudioToVideoPipeline(models, refiner), config, output, enhance=enhance_prompt)
