"""How cost grows: charts of time and memory over tokens and frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ltx_bench.results import OURS, Record
from ltx_bench.svg import Line, chart
from ltx_bench.table import seconds


@dataclass(frozen=True)
class Plot:
    """One chart.

    Attributes:
        kind: of the items.
        over: the record's entry along the horizontal axis, and its label.
        value: along the vertical axis; None where a record has none.
    """

    kind: str
    over: tuple[str, str]
    title: str
    label: str
    value: Callable[[Record], float | None]


def _peak(record: Record) -> float | None:
    return record["peak"] / 1e9 if record.get("peak") else None


PLOTS = {
    "transformer-time.svg": Plot(
        "transformer", ("tokens", "video tokens"), "Transformer, one call", "seconds", seconds
    ),
    "transformer-memory.svg": Plot(
        "transformer", ("tokens", "video tokens"), "Transformer, one call", "peak GB", _peak
    ),
    "video-decode-time.svg": Plot(
        "video-decode", ("frames", "frames"), "Video decoder, 768 x 512", "seconds", seconds
    ),
    "video-decode-memory.svg": Plot(
        "video-decode", ("frames", "frames"), "Video decoder, 768 x 512", "peak GB", _peak
    ),
}
WIDTH_OF_FRAMES = "768x512x"
"""Clips of one size, which differ in their frames alone, begin like this."""


def plots(runs: dict[str, Record], records: Sequence[Record]) -> dict[str, str]:
    """File name -> SVG, of whole networks in batches of one; those with at least two points. The newest
    measurement of an item counts."""
    made = {}
    for name, plot in PLOTS.items():
        lines = _lines(plot, [record for record in records if _belongs(plot, record, runs)])
        if any(len(line.points) > 1 for line in lines):
            made[name] = chart(plot.title, plot.over[1], plot.label, lines)
    return made


def _belongs(plot: Plot, record: Record, runs: dict[str, Record]) -> bool:
    if record["kind"] != plot.kind or record["variant"] or record["batch"] > 1 or "error" in record:
        return False
    full = runs[record["run"]]["scale"] == "full"
    return plot.over[0] != "frames" or not full or record["size"].startswith(WIDTH_OF_FRAMES)


def _lines(plot: Plot, records: Sequence[Record]) -> list[Line]:
    points: dict[str, dict[float, float]] = {}
    for record in sorted(records, key=lambda record: record["run"]):
        value = plot.value(record)
        if value is not None:
            name = f"{record['implementation']}, {record['version']}"
            points.setdefault(name, {})[record[plot.over[0]]] = value
    ours = sorted(points, key=lambda name: (not name.startswith(OURS), name))
    return [Line(name, sorted(points[name].items())) for name in ours]
