"""Options that the commands which make clips share: types of parameters, and groups of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ltx_cli.groups import OptionGroup, given

Prompt = Annotated[str, typer.Argument(help="What the clip should show and sound like.")]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image", metavar="PATH [FRAME] [STRENGTH]", help="Image at a frame (0; -1 = last). Repeatable."
    ),
]
Guided = Annotated[
    bool, typer.Option("--guided", help="Many steps under guidance, for undistilled checkpoints.")
]


@dataclass(frozen=True)
class SizeOptions(OptionGroup):
    """How large and long a clip is; what is not given is the model's own."""

    panel = "Size"
    height: Annotated[int | None, typer.Option(help="Pixels; multiple of 32, of 64 in two stages.")] = None
    width: Annotated[int | None, typer.Option(help="Pixels; multiple of 32, of 64 in two stages.")] = None
    num_frames: Annotated[int | None, typer.Option(help="8 k + 1.")] = None
    frame_rate: Annotated[float | None, typer.Option(help="Frames per second.")] = None

    def fields(self) -> dict[str, Any]:
        """Arguments of a config: those that were given."""
        return given(**vars(self))


@dataclass(frozen=True)
class SourceSizeOptions(SizeOptions):
    """The same for a clip that there is already; what is not given is the clip's own."""

    height: Annotated[int | None, typer.Option(help="Pixels, multiple of 32; the clip's own.")] = None
    width: Annotated[int | None, typer.Option(help="Pixels, multiple of 32; the clip's own.")] = None
    frame_rate: Annotated[float | None, typer.Option(help="Frames per second; the clip's own.")] = None


@dataclass(frozen=True)
class RunOptions(OptionGroup):
    """How a clip is made."""

    panel = "Run"
    steps: Annotated[int | None, typer.Option(help="Denoising steps; the model's own if not given.")] = None
    seed: Annotated[
        str, typer.Option(metavar="N [N ...]", help="Of all noise; a clip for each of several.")
    ] = "10"
    enhance_prompt: Annotated[
        bool,
        typer.Option(
            "--enhance-prompt", help="Let the text encoder write the prompt out first; takes a minute."
        ),
    ] = False

    def fields(self) -> dict[str, Any]:
        """Arguments of a config."""
        return {"num_inference_steps": self.steps, "seed": int(self.seed)}


@dataclass(frozen=True)
class OutputOptions(OptionGroup):
    """What is written."""

    panel = "Output"
    no_audio: Annotated[bool, typer.Option("--no-audio", help="A silent clip.")] = False
    output: Annotated[Path, typer.Option("--output", "-o", help="The mp4 file to write.")] = Path("clip.mp4")
