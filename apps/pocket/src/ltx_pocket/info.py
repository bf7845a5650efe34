"""`ltx pocket info`: the little world's words, and the files of the model."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from ltx_loaders import SafetensorsHeader
from rich.console import Console
from rich.table import Table

from ltx_pocket import configs
from ltx_pocket.files import WEIGHTS
from ltx_pocket.world.phrases import (
    COLOUR_WORDS,
    MOTION_PHRASES,
    PLACE_PHRASES,
    SHAPE_WORDS,
    SIZE_WORDS,
    SOUND_PHRASES,
)

WORDS: dict[str, Mapping[str, Sequence[str]]] = {
    "shapes": SHAPE_WORDS,
    "colours": COLOUR_WORDS,
    "sizes": SIZE_WORDS,
    "motions": MOTION_PHRASES,
    "backgrounds": PLACE_PHRASES,
    "sounds": SOUND_PHRASES,
}


def info(weights: Annotated[Path, typer.Option(help="Folder of the model.")] = WEIGHTS) -> None:
    """Show what the pocket model knows, what its clips are like, and how large its files are."""
    console = Console(soft_wrap=True)
    console.print(
        f"clips: {configs.WIDTH}x{configs.HEIGHT}, {configs.NUM_FRAMES} frames at {configs.FRAME_RATE:g} per "
        "second, with stereo sound; prompts are free text of these and similar words",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    for kind, rows in WORDS.items():
        table.add_row(kind, ", ".join(phrases[0] for phrases in rows.values()))
    console.print(table)
    if not weights.is_dir():
        console.print(f"no weights in {weights}", highlight=False, markup=False)
        return
    table = Table("file", "parameters", "MB", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    files = list(_files(weights))
    for name, parameters, size in files:
        table.add_row(name, f"{parameters:,}" if parameters else "", f"{size / 1e6:.2f}")
    table.add_row("total", f"{sum(row[1] for row in files):,}", f"{sum(row[2] for row in files) / 1e6:.2f}")
    console.print(table)


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Name, parameters and bytes of every file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            tensors = SafetensorsHeader.read(path).tensors if path.suffix == ".safetensors" else {}
            parameters = sum(tensor.size for tensor in tensors.values())
            yield str(path.relative_to(folder)), parameters, path.stat().st_size
