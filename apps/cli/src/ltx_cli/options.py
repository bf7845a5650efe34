"""Options that the commands which make clips share, as types of their parameters."""

from pathlib import Path
from typing import Annotated

import typer

Prompt = Annotated[str, typer.Argument(help="What the clip should show and sound like.")]
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
EnhancePrompt = Annotated[
    bool,
    typer.Option("--enhance-prompt", help="Let the text encoder write the prompt out first; takes a minute."),
]
Seed = Annotated[int, typer.Option(help="Of all noise.")]
NoAudio = Annotated[bool, typer.Option("--no-audio", help="A silent clip.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The mp4 file to write.")]
