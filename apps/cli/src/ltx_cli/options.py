"""Options that the commands which make clips share, as types of their parameters."""

from pathlib import Path
from typing import Annotated

import typer

Prompt = Annotated[str, typer.Argument(help="What the clip should show and sound like.")]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(help="LTX-2 checkpoint, the official single file; the pocket model if not given."),
]
GemmaFolder = Annotated[
    Path | None, typer.Option(help="Folder of the Gemma 3 text encoder, with --checkpoint.")
]
SpatialUpscaler = Annotated[Path | None, typer.Option(help="Latent upscaler x2, for two-stage pipelines.")]
DistilledLora = Annotated[
    str | None,
    typer.Option(
        metavar="PATH [STRENGTH]",
        help="Distilled LoRA at a strength (1): makes an undistilled checkpoint fit for few steps.",
    ),
]
Height = Annotated[int | None, typer.Option(help="Pixels; multiple of 32, of 64 in two stages.")]
Width = Annotated[int | None, typer.Option(help="Pixels; multiple of 32, of 64 in two stages.")]
NumFrames = Annotated[int | None, typer.Option(help="8 k + 1.")]
FrameRate = Annotated[float | None, typer.Option(help="Frames per second.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps; the model's own if not given.")]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image", metavar="PATH [FRAME] [STRENGTH]", help="Image at a frame (0; -1 = last). Repeatable."
    ),
]
Loras = Annotated[
    list[str] | None,
    typer.Option("--lora", metavar="PATH [STRENGTH]", help="LoRA at a strength (1). Repeatable."),
]
EnhancePrompt = Annotated[
    bool,
    typer.Option("--enhance-prompt", help="Let the text encoder write the prompt out first; takes a minute."),
]
Seed = Annotated[int, typer.Option(help="Of all noise.")]
Dtype = Annotated[str, typer.Option(help="auto, float32 or bfloat16.")]
NoAudio = Annotated[bool, typer.Option("--no-audio", help="A silent clip.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The mp4 file to write.")]
