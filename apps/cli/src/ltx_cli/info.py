"""`ltx info`: what a model file holds, from its header alone, or what a clip was made with."""

import json
from pathlib import Path
from typing import Annotated

import typer
from ltx_loaders import Checkpoint, Pack, SafetensorsHeader, read_gemma_config
from ltx_loaders.gemma import gemma_files, is_gemma
from ltx_loaders.sources import read_config
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ltx_cli.clip_info import CLIPS, print_clip
from ltx_cli.groups import grouped_options
from ltx_cli.memory import PlanOptions, print_memory_plan


@grouped_options
def info(
    path: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint, latent upscaler, LoRA, a folder with a model; or a clip or a sound."
        ),
    ],
    config: Annotated[
        bool, typer.Option("--config", help="Print the embedded config, or the record of a clip, as JSON.")
    ] = False,
    *,
    memory: PlanOptions,
) -> None:
    """Show what a model file holds, or what a clip was made with.

    Of a model file: generation, components, parameters, dtypes and sizes, without reading its weights.
    """
    console = Console()
    if path.suffix.lower() in CLIPS and not path.is_dir():
        print_clip(console, path, as_json=config)
        return
    if memory.plan:
        print_memory_plan(console, path, memory)
        return
    if path.is_dir() and is_gemma(path):
        _text_encoder(console, path)
        return
    if not path.is_dir():
        header = SafetensorsHeader.read(path)
        if "config" not in header.metadata:
            _plain(console, header, "safetensors file without an LTX-2 config")
            return
        if "initial_conv.weight" in header.tensors:
            _plain(console, header, "LTX-2 latent upscaler")
            _values(console, "config", read_config(header))
            return
    checkpoint = Checkpoint.open(path)
    if config:
        print(json.dumps(checkpoint.config, indent=2))
        return
    size = _bytes(sum(file.header.path.stat().st_size for file in checkpoint.files))
    files = f", {len(checkpoint.files)} files" if len(checkpoint.files) > 1 else ""
    kind = f"LTX-{checkpoint.generation} checkpoint, {checkpoint.format}{files}"
    console.print(f"[bold]{escape(path.name)}[/]: {kind}, {size}")
    if pack := Pack.read(checkpoint.metadata):
        how = f"; quantised: {pack.policy}" if pack.policy else ""
        console.print(f"made from {pack.source}{how}", highlight=False, markup=False, soft_wrap=True)
    table = Table("component", "tensors", "parameters", "dtype", "size", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    groups = checkpoint.groups()
    for group in groups:
        numbers = f"{group.tensors:,}", f"{group.parameters:,}", ", ".join(group.dtypes), _bytes(group.nbytes)
        table.add_row(group.name, *numbers)
    total = sum(group.parameters for group in groups)
    size = _bytes(sum(group.nbytes for group in groups))
    table.add_row("total", f"{len(checkpoint.tensor_infos()):,}", f"{total:,}", "", size, style="bold")
    console.print(table)
    for section, values in checkpoint.config.items():
        if isinstance(values, dict):
            _values(console, section, values)


def _plain(console: Console, header: SafetensorsHeader, kind: str) -> None:
    parameters = sum(entry.size for entry in header.tensors.values())
    dtypes = ", ".join(sorted({entry.dtype for entry in header.tensors.values()}))
    console.print(f"[bold]{escape(header.path.name)}[/]: {kind}, {_bytes(header.path.stat().st_size)}")
    console.print(f"{len(header.tensors):,} tensors, {parameters:,} parameters, {dtypes}")
    _values(console, "metadata", {key: value for key, value in header.metadata.items() if key != "config"})


def _text_encoder(console: Console, folder: Path) -> None:
    model = read_gemma_config(folder)
    headers = [SafetensorsHeader.read(file) for file in gemma_files(folder)]
    dtypes = ", ".join(sorted({info.dtype for header in headers for info in header.tensors.values()}))
    size = _bytes(sum(header.path.stat().st_size for header in headers))
    console.print(
        f"[bold]{escape(folder.name)}[/]: Gemma text encoder, {len(headers)} files, {dtypes}, {size}"
    )
    _values(console, "config", vars(model))


def _values(console: Console, title: str, values: dict[str, object]) -> None:
    """One line for a section of a config: its plain values; `--config` has the rest."""
    plain = [f"{key} {value}" for key, value in values.items() if isinstance(value, str | int | float)]
    if plain:
        console.print(f"[bold]{title}[/]: {escape(', '.join(plain))}", highlight=False)


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} bytes"
