"""`ltx audio`: a prompt to a wav file."""

from pathlib import Path
from typing import Annotated

import typer
from ltx_pipelines import TextToAudioConfig, TextToAudioPipeline, check_output

from ltx_cli.arguments import parse_lora
from ltx_cli.guidance import GuidanceOptions, guided_options
from ltx_cli.models import ModelFiles
from ltx_cli.options import CheckpointFile, Dtype, EnhancePrompt, GemmaFolder, Loras, Seed, Steps
from ltx_cli.running import make_clip


@guided_options
def text_to_audio(
    prompt: Annotated[str, typer.Argument(help="What should sound.")],
    *,
    duration: Annotated[float | None, typer.Option(help="Seconds, up to 20; 5 if not given.")] = None,
    checkpoint: CheckpointFile = None,
    gemma: GemmaFolder = None,
    steps: Steps = None,
    guidance: GuidanceOptions,
    lora: Loras = None,
    enhance_prompt: EnhancePrompt = False,
    seed: Seed = 10,
    dtype: Dtype = "auto",
    output: Annotated[Path, typer.Option("--output", "-o", help="The wav file to write.")] = Path(
        "sound.wav"
    ),
) -> None:
    """Make a sound from a prompt, with the audio half of the model alone."""
    check_output(output, ".wav")
    files = ModelFiles(checkpoint, gemma, None)
    for_sound = [name for name in vars(guidance) if name.startswith("audio_") and "modality" not in name]
    guidance.refuse("audio: there is no picture", but=("negative_prompt", "stg_scale", *for_sound))
    clip = {name: value for name, value in files.clip.items() if name in ("num_frames", "frame_rate")}
    config = TextToAudioConfig(
        **clip,
        **guidance.fields(),
        prompt=prompt,
        duration=duration,
        num_inference_steps=steps,
        seed=seed,
    )
    models = files.open([parse_lora(value) for value in lora or ()], dtype, distilled=False)
    make_clip(files, TextToAudioPipeline(models), config, output, enhance=enhance_prompt)
