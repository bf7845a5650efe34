"""`ltx download`: what a pipeline needs of a repository on the Hugging Face hub."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from ltx_loaders.hub import DownloadPlan, cached_files, download, plan_download
from ltx_loaders.hub_files import NEEDS, RemoteFile, model_paths
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PipelineName = Enum("PipelineName", {name: name for name in NEEDS}, type=str)  # type: ignore[misc]


def fetch(
    repo: Annotated[
        str, typer.Argument(help="owner/name, e.g. Lightricks/LTX-2.3 or mlx-community/gemma-3-12b-it-4bit.")
    ],
    pipeline: Annotated[
        PipelineName,
        typer.Option(help="What the files are for; of the official repositories one checkpoint."),
    ] = PipelineName.distilled,  # type: ignore[attr-defined]
    file: Annotated[list[str] | None, typer.Option(help="Take this file instead. Repeatable.")] = None,
    fp8: Annotated[bool, typer.Option("--fp8", help="The checkpoint in 8-bit floating point.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be downloaded.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Look in the cache only.")] = False,
) -> None:
    """Fetch what a pipeline needs of a repository into the Hugging Face cache, and say where it lies."""
    console = Console(stderr=True)
    if offline:
        folder, files = cached_files(repo, pipeline.value, fp8=fp8)
        _show(console, files, {each.name for each in files})
        print(folder)
        return
    plan = plan_download(repo, pipeline.value, fp8=fp8, names=file or ())
    _show(console, plan.files, set(plan.cached))
    console.print(_summary(plan))
    plan.check_disk()
    if not dry_run:
        print(download(plan))


def paths_in_cache(repo: str, pipeline: str, *, offline: bool) -> dict[str, Path]:
    """What a pipeline needs of a repository, downloaded if it must be: paths as `model_paths` names them."""
    if offline:
        return model_paths(*cached_files(repo, pipeline))
    plan = plan_download(repo, pipeline)
    if plan.missing_bytes:
        console = Console(stderr=True)
        _show(console, plan.files, set(plan.cached))
        console.print(_summary(plan))
    return model_paths(download(plan), plan.files)


def _show(console: Console, files: "tuple[RemoteFile, ...] | list[RemoteFile]", cached: set[str]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for file in files:
        table.add_row(
            escape(file.name), f"{file.size / 1e9:.2f} GB", "in the cache" if file.name in cached else ""
        )
    console.print(table)


def _summary(plan: DownloadPlan) -> str:
    total = sum(file.size for file in plan.files)
    return f"{plan.missing_bytes / 1e9:.2f} GB of {total / 1e9:.2f} GB to download, to {plan.cache}"
