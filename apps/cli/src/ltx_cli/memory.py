"""`ltx info --plan`: what a run would need of the machine's memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from ltx_core import ConfigError
from ltx_pipelines import CheckpointModels, Memory, StagePlan
from ltx_pipelines.fitting import alternatives, gigabytes
from ltx_pipelines.machine import available_memory
from ltx_pipelines.memory_plan import ClipSize, plan_memory
from rich.console import Console
from rich.table import Table

from ltx_cli.groups import OptionGroup

ONE_STAGE = ("encode prompt", "denoise", "decode video", "decode audio")
TWO_STAGES = ("encode prompt", "stage 1", "upsample", "stage 2", "decode video", "decode audio")


@dataclass(frozen=True)
class PlanOptions(OptionGroup):
    """The clip that a plan is for."""

    panel = "Memory plan"
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the memory that a clip takes, stage by stage.")
    ] = False
    gemma: Annotated[Path | None, typer.Option(help="Folder of the text encoder.")] = None
    spatial_upscaler: Annotated[Path | None, typer.Option(help="For a plan of two stages.")] = None
    height: Annotated[int, typer.Option(help="Pixels.")] = 512
    width: Annotated[int, typer.Option(help="Pixels.")] = 768
    num_frames: Annotated[int, typer.Option(help="8 k + 1.")] = 121
    frame_rate: Annotated[float, typer.Option(help="Frames per second.")] = 24.0
    guided: Annotated[bool, typer.Option("--guided", help="With a negative prompt.")] = False
    no_audio: Annotated[bool, typer.Option("--no-audio", help="A silent clip.")] = False
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto"
    quantize: Annotated[
        str | None, typer.Option("--quantize", "-q", metavar="BITS", help="As for making a clip.")
    ] = None
    low_ram: Annotated[bool, typer.Option("--low-ram", help="As for making a clip.")] = False

    def size(self) -> ClipSize:
        """The clip."""
        return ClipSize(
            self.height,
            self.width,
            self.num_frames,
            self.frame_rate,
            sound=not self.no_audio,
            guided=self.guided,
        )


def print_memory_plan(console: Console, checkpoint: Path, options: PlanOptions) -> None:
    """A row for each stage, the peak, what the machine has, and what other options would take.

    Raises:
        ConfigError: no text encoder was given, or an option is not supported.
        LoaderError: as `CheckpointModels`.
    """
    if options.gemma is None:
        raise ConfigError("--plan needs --gemma: the text encoder is often the largest network of a run")
    models = CheckpointModels(
        checkpoint,
        options.gemma,
        options.spatial_upscaler,
        dtype=options.dtype,
        quantize=options.quantize,
        memory=Memory.LOW if options.low_ram else Memory.FREE,
    )
    names = ONE_STAGE if options.spatial_upscaler is None else TWO_STAGES
    stages = [StagePlan(name, 1) for name in names if not (options.no_audio and name.endswith("audio"))]
    size = options.size()
    plan = plan_memory(models, size, stages)
    console.print(
        f"{models.name}: {size.width}x{size.height}, {size.num_frames} frames, {options.dtype}", markup=False
    )
    table = Table("stage", "weights", "activations", "together", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in plan.stages:
        table.add_row(stage.name, *map(gigabytes, (stage.weights, stage.activations, stage.total)))
    console.print(table)
    available = available_memory()
    free = "" if available is None else f"; free here: {gigabytes(available)}"
    console.print(f"peak, with the program: {gigabytes(plan.peak)}{free}", highlight=False)
    for name, peak in alternatives(models, size, stages).items():
        console.print(f"with {name}: {gigabytes(peak)}", highlight=False)
