"""What was measured, for people: a table for each part of the report."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from ltx_pocket.evaluate.judge import MEASURES
from ltx_pocket.evaluate.tally import TARGETS

Values = Mapping[str, Any]


def print_report(console: Console, report: Values) -> None:
    """Every part that the report has."""
    titles = {
        "prompts": "Unseen prompts",
        "bounce": "Bounces with a sound",
        "guidance": "Guidance of the undistilled model",
        "image": "On from an image",
    }
    for part, title in titles.items():
        if part not in report:
            continue
        console.print(clips_table(title, report[part]))
        for name, series in report[part].items():
            console.print(f"{name}: {mistakes_line(series) or 'no mistakes'}", style="dim", highlight=False)
    if "vae" in report:
        console.print(autoencoders_table(report["vae"]["video"], report["vae"]["sound"]))


def percent(share: Values, target: float | None = None) -> str:
    """Like "97.0", coloured by whether the target is reached."""
    return "-" if share["percent"] is None else marked(share["percent"], target)


def marked(value: float, target: float | None) -> str:
    """A number, coloured by whether the target is reached."""
    text = f"{value:.1f}"
    if target is None:
        return text
    return f"[green]{text}[/]" if value >= target else f"[red]{text}[/]"


def clips_table(title: str, columns: Mapping[str, Values]) -> Table:
    """Series of clips beside each other, a row for each measure.

    Args:
        columns: heading -> summary of a series.
    """
    table = Table("% right", *columns, "target", title=title, title_justify="left", title_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in MEASURES:
        shares = [percent(series["measures"][name], TARGETS[name]) for series in columns.values()]
        table.add_row(name, *shares, f"{TARGETS[name]:g}")
    table.add_row("number of things", *(percent(series["number_of_things"]) for series in columns.values()))
    syncs = [series["sync"] for series in columns.values()]
    table.add_row("bounce in time", *(percent(sync["in_time"]) for sync in syncs))
    table.add_row(
        "  median offset, ms", *("-" if s["median_ms"] is None else f"{s['median_ms']:g}" for s in syncs)
    )
    if any("first_frame" in series for series in columns.values()):
        firsts = [series["first_frame"] for series in columns.values()]
        target = firsts[0]["target"]
        table.add_row("first frame, dB", *(marked(f["mean"], target) for f in firsts), f"{target:g}")
        table.add_row("  the worst", *(marked(f["worst"], target) for f in firsts))
    table.add_row("clips", *(str(series["clips"]) for series in columns.values()))
    table.add_row("seconds a clip", *(f"{series['seconds_per_clip']:g}" for series in columns.values()))
    return table


def mistakes_line(series: Values) -> str:
    """The most frequent mistakes of a series, in words."""
    measures = {name: series["measures"][name]["mistakes"] for name in MEASURES}
    return "; ".join(f"{name}: {_listed(rows)}" for name, rows in measures.items() if rows)


def _listed(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['found']} for {row['wanted']} {row['times']}x" for row in rows)


def autoencoders_table(video: Values, sound: Values) -> Table:
    """Both autoencoders."""
    table = Table("autoencoders", "", "target", title="VAE", title_justify="left", title_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    target = video["target"]
    table.add_row("pictures, mean dB", marked(video["mean"], target), f"{target:g}")
    table.add_row("  the worst clip", f"{video['worst']:.1f}")
    for name, value in video["backgrounds"].items():
        table.add_row(f"  {name}", f"{value:.1f}")
    table.add_row("sounds still right, %", percent(sound))
    if sound["mistakes"]:
        table.add_row("  " + _listed(sound["mistakes"]), "")
    return table
