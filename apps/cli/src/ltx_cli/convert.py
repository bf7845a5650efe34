"""`ltx convert`: a checkpoint quantised or cast once, for all later runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from ltx_core.device import resolve_dtype
from ltx_loaders import QuantizationPolicy, convert
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ltx_cli.models import QUANTIZE_HELP

LABELS = {"hash": "read source", "write": "write"}


class FloatType(StrEnum):
    """What floating-point tensors can be cast to: what the networks run in."""

    bfloat16 = "bfloat16"
    float32 = "float32"


def convert_checkpoint(
    source: Annotated[Path, typer.Argument(help="Checkpoint in any format: a file or a folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    quantize: Annotated[
        str | None, typer.Option("--quantize", "-q", metavar="BITS", help=QUANTIZE_HELP)
    ] = None,
    group_size: Annotated[
        int | None, typer.Option(help="Weights that share a scale at 8 and 4 bits (64): 32, 64 or 128.")
    ] = None,
    dtype: Annotated[
        FloatType | None, typer.Option(help="Cast what is not quantised; as it is if not given.")
    ] = None,
) -> None:
    """Write a checkpoint as a folder of shards that --checkpoint takes, quantised with -q.

    Values and outputs of attention and the first and last block keep 8 bits at least; what stands around the
    blocks is not quantised.
    """
    policy = None if quantize is None else QuantizationPolicy.of(quantize, group_size)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<12}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(LABELS[what])
            progress.update(tasks[what], completed=done, total=total)

        made = convert(
            source,
            out,
            policy=policy,
            dtype=None if dtype is None else resolve_dtype(dtype.value),
            on_progress=on_progress,
        )
    how = f", {made.quantised} weights quantised to {policy}" if policy else ""
    size = f"{made.nbytes / 1e9:.2f} GB in {len(made.files)} file{'s'[: len(made.files) > 1]}"
    console.print(f"{out}: {size}{how}", highlight=False, markup=False, soft_wrap=True)
