"""What was measured, for people: a table for each part of the report."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from ltx_pocket.evaluate.judge import MEASURES
from ltx_pocket.evaluate.tally import TARGETS

Values = Mapping[str, Any]

TITLES = {
    "prompts": "Unseen prompts",
    "bounce": "Bounces with a sound",
    "vae": "Unseen scenes through the autoencoders",
    "guidance": "Guidance of the undistilled model",
    "stages": "One stage and two",
    "image": "On from an image",
    "keyframes": "From an image to another",
    "ic-lora": "After a reference",
    "audio-to-video": "To a given sound",
    "text-to-audio": "Sounds alone",
    "retake": "The middle made anew",
    "extend": "One half to the other",
    "frame-rate": "Twice the frame rate",
    "style": "In another style",
}


def print_report(console: Console, report: Values) -> None:
    """Every part that the report has."""
    for part, title in TITLES.items():
        if part in report:
            console.print(clips_table(title, report[part]))
            for name, series in report[part].items():
                line = f"{name}: {mistakes_line(series) or 'no mistakes'}"
                console.print(line, style="dim", highlight=False, soft_wrap=True)


def clips_table(title: str, columns: Mapping[str, Values]) -> Table:
    """Series of clips beside each other, a row for each measure.

    Args:
        columns: heading -> summary of a series.
    """
    table = Table("% right", *columns, "target", title=title, title_justify="left", title_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    several = list(columns.values())
    for name in MEASURES:
        shares = [percent(series["measures"][name], TARGETS[name]) for series in several]
        table.add_row(name, *shares, f"{TARGETS[name]:g}")
    table.add_row("number of things", *(percent(series["number_of_things"]) for series in several))
    if any(series["sync"]["asked"] for series in several):
        syncs = [series["sync"] for series in several]
        table.add_row("bounce in time", *(percent(sync["in_time"]) for sync in syncs))
        for kind in ("mean", "median"):
            offsets = (sync[f"{kind}_ms"] for sync in syncs)
            table.add_row(f"  {kind} offset, ms", *("-" if ms is None else f"{ms:g}" for ms in offsets))
    for key, title in (("first_frame", "first frame, dB"), ("psnr", "pictures, dB")):
        ratios = [series[key] for series in several if key in series]
        if ratios:
            target = ratios[0]["target"]
            table.add_row(title, *(marked(ratio["mean"], target) for ratio in ratios), f"{target:g}")
            table.add_row("  the worst", *(marked(ratio["worst"], target) for ratio in ratios))
            for name in ratios[0].get("backgrounds", ()):
                table.add_row(f"  on {name}", *(f"{ratio['backgrounds'][name]:.1f}" for ratio in ratios))
    for name in several[0].get("numbers", ()):
        own = [series["numbers"][name] for series in several]
        target = own[0]["target"]
        shown = ("-" if each["value"] is None else marked(each["value"], target) for each in own)
        table.add_row(name, *shown, "" if target is None else f"{target:g}")
    if all("distance" in series for series in several):
        for kind in ("mean", "median"):
            ways = [series["distance"][kind] for series in several]
            shown = ("-" if way is None else f"{100 * way:.1f}" for way in ways)
            table.add_row(f"{kind} distance, %", *shown)
    if all("neon" in series for series in several):
        table.add_row("neon", *(percent(series["neon"]) for series in several))
    table.add_row("clips", *(str(series["clips"]) for series in several))
    table.add_row("seconds a clip", *(f"{series['seconds_per_clip']:g}" for series in several))
    return table


def percent(share: Values, target: float | None = None) -> str:
    """Like "97.0", coloured by whether the target is reached."""
    return "-" if share["percent"] is None else marked(share["percent"], target)


def marked(value: float, target: float | None) -> str:
    """A number, coloured by whether the target is reached."""
    text = f"{value:.1f}"
    if target is None:
        return text
    return f"[green]{text}[/]" if value >= target else f"[red]{text}[/]"


def mistakes_line(series: Values) -> str:
    """The most frequent mistakes of a series, in words."""
    listed = []
    for name in MEASURES:
        rows = series["measures"][name]["mistakes"]
        words = (f"{row['found']} for {row['wanted']} {row['times']}x" for row in rows)
        listed += [f"{name}: {', '.join(words)}"] if rows else []
    return "; ".join(listed)
