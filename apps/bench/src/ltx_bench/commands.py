"""The command group `ltx bench`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    name="bench",
    help="Time and memory of every stage, at the published sizes, on random weights.",
    no_args_is_help=True,
    add_completion=False,
)

Only = Annotated[
    list[str] | None,
    typer.Option(help='Names of items, "*" for anything: transformer/2.0/*. Several times, in their order.'),
]
Scale = Annotated[str, typer.Option(help="full, or tiny to try it out.")]
Files = Annotated[list[Path], typer.Argument(help="Files that `ltx bench run` has written.")]


@app.command(name="list")
def list_(only: Only = None, scale: Scale = "full") -> None:
    """Names of everything that can be measured."""
    from ltx_bench.items import choose, list_items

    for item in choose(list_items(scale), only or []):
        print(item.name)


@app.command()
def run(
    results: Annotated[Path, typer.Argument(help="JSON file, begun or gone on with.")],
    only: Only = None,
    scale: Scale = "full",
    seconds: Annotated[float, typer.Option(help="No item begins after that time.")] = 1e9,
    repeats: Annotated[int, typer.Option(help="Runs that count, of each item.")] = 5,
    warmup: Annotated[int, typer.Option(help="Runs before them.")] = 2,
    item_seconds: Annotated[float, typer.Option(help="No run of an item begins after that time.")] = 20.0,
    peer: Annotated[
        str | None, typer.Option(help="Interpreter with torch that measures the same work beside ours.")
    ] = None,
    peer_path: Annotated[
        list[Path] | None, typer.Option(help="Folder with ltx-core or diffusers, for the peer alone.")
    ] = None,
    peers: Annotated[list[str] | None, typer.Option(help="ltx-core, diffusers, transformers; all.")] = None,
) -> None:
    """Measure items, one after the other; each is written as soon as it is done."""
    from contextlib import nullcontext

    from ltx_bench.items import choose, list_items
    from ltx_bench.machine import describe_machine
    from ltx_bench.measure import Repetitions
    from ltx_bench.peers import Peers
    from ltx_bench.results import Record, Results
    from ltx_bench.runner import Runner
    from ltx_bench.table import line
    from ltx_bench.works import Setup

    console = Console(soft_wrap=True, highlight=False)
    beside = nullcontext() if peer is None else Peers(peer, peer_path or [], peers or [])
    with beside as measured_beside:
        machine = describe_machine(scale)
        console.print(
            f"{machine.device}, {machine.backend}, MLX {machine.mlx}, {machine.dtype}: matrix products "
            f"{machine.matmul_rate / 1e12:.3g} TFLOP/s, copies {machine.copy_rate / 1e9:.3g} GB/s"
        )

        def report(record: Record) -> None:
            console.print(line(record, machine.matmul_rate), markup=False)

        runner = Runner(
            Results(results),
            Setup(scale),
            machine,
            Repetitions(warmup, repeats, item_seconds),
            measured_beside,
            seconds,
            report,
        )
        left = runner.measure(list(choose(list_items(scale), only or [])))
    if left:
        console.print(f"the time was too short for {', '.join(item.name for item in left)}", markup=False)


@app.command()
def ranks(
    results: Annotated[Path, typer.Argument(help="JSON file, begun or gone on with.")],
    processes: Annotated[int, typer.Option(help="Processes, with a device each.")] = 2,
    only: Only = None,
    scale: Scale = "full",
    repeats: Annotated[int, typer.Option(help="Runs that count.")] = 5,
    warmup: Annotated[int, typer.Option(help="Runs before them.")] = 2,
) -> None:
    """Measure a guided step by several processes, which divide its passes or the network, and by one."""
    import ltx_core  # noqa: F401  (loads the BLAS before MLX)
    import mlx.core as mx

    from ltx_bench.items import choose
    from ltx_bench.machine import describe_machine
    from ltx_bench.measure import Repetitions
    from ltx_bench.ranks import list_ranks, measure_ranks
    from ltx_bench.results import Results
    from ltx_bench.runner import describe
    from ltx_bench.table import line
    from ltx_bench.works import Setup

    held, machine, setup = Results(results), describe_machine(scale), Setup(scale)
    mx.clear_cache()
    run = held.begin({"machine": machine.to_json(), "scale": scale})
    items = list(choose(list_ranks(scale, processes), only or []))
    for item, record in measure_ranks(items, scale, Repetitions(warmup, repeats)):
        full = {"run": run, **describe(item, setup), **record}
        held.add(full)
        print(line(full, machine.matmul_rate))


@app.command()
def table(
    files: Files,
    write: Annotated[
        Path | None, typer.Option(help="Put the tables into this page, between its marks.")
    ] = None,
) -> None:
    """Measurements as Markdown."""
    from ltx_bench.pages import insert
    from ltx_bench.results import read
    from ltx_bench.table import tables

    text = tables(*read(files))
    if write is None:
        print(text)
    else:
        write.write_text(insert(write.read_text(encoding="utf-8"), "table", text), encoding="utf-8")


@app.command()
def plot(
    files: Files,
    folder: Annotated[Path, typer.Option(help="Where the SVG files go.")] = Path(),
    write: Annotated[
        Path | None, typer.Option(help="Put the pictures into this page, between its marks.")
    ] = None,
) -> None:
    """How time and memory grow with tokens and frames, as SVG files."""
    import os.path

    from ltx_bench.pages import insert
    from ltx_bench.plot import PLOTS, plots
    from ltx_bench.results import read

    shown = []
    for name, picture in plots(*read(files)).items():
        (folder / name).write_text(picture, encoding="utf-8")
        print(folder / name)
        if write is not None:
            link = Path(os.path.relpath(folder / name, write.parent)).as_posix()
            shown.append(f"![{PLOTS[name].title}: {PLOTS[name].label}]({link})")
    if write is not None:
        page = insert(write.read_text(encoding="utf-8"), "plot", "\n\n".join(shown))
        write.write_text(page, encoding="utf-8")
