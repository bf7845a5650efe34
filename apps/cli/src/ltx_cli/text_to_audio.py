"""`ltx audio`: a prompt to a wav file."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from ltx_pipelines import TextToAudioConfig, TextToAudioPipeline, check_output

from ltx_cli.clip import Clip
from ltx_cli.clips import clip_command
from ltx_cli.groups import Without
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.models import ModelOptions
from ltx_cli.options import RunOptions


@partial(clip_command, picture=False)
def text_to_audio(
    prompt: Annotated[str, typer.Argument(help="What should sound.")],
    *,
    duration: Annotated[float | None, typer.Option(help="Seconds, up to 20; 5 if not given.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The wav file to write.")] = Path(
        "sound.wav"
    ),
    run: RunOptions,
    guidance: GuidanceOptions,
    model: Annotated[ModelOptions, Without("spatial_upscaler", "distilled_lora")],
) -> Clip:
    """Make a sound from a prompt, with the audio half of the model alone."""
    check_output(output, ".wav")
    files = model.files()
    for_sound = [name for name in vars(guidance) if name.startswith("audio_") and "modality" not in name]
    guidance.refuse("audio: there is no picture", but=("negative_prompt", "stg_scale", *for_sound))
    clip = {name: value for name, value in files.clip.items() if name in ("num_frames", "frame_rate")}
    config = TextToAudioConfig(
        **clip,
        **guidance.fields(),
        **run.fields(),
        prompt=prompt,
        duration=duration,
    )
    models = files.open(distilled=False)
    return Clip(files, TextToAudioPipeline(models), config, output, run.enhance_prompt)
