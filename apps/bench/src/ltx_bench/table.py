"""Measurements as lines and as Markdown tables."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from ltx_bench.results import OURS, Record

TITLES = {
    "transformer": "Transformer, one call",
    "guided": "Transformer, one guided step",
    "ranks": "Transformer, one guided step on several devices",
    "video-decode": "Video decoder, in tiles",
    "video-encode": "Video encoder",
    "upscale": "Latent upscaler x2",
    "gemma": "Text encoder, Gemma 3 12B",
    "connectors": "Text connectors",
    "audio-decode": "Audio decoder",
    "vocoder": "Vocoder, float32",
    "distilled": "A whole generation, 8 + 3 steps",
    "low-ram": "Transformer of 8 blocks, read from a file while they run",
}
OWN = ("item", "s", "TFLOP/s", "of matmul", "peak GB", "weights GB")
PEER = ("peer", "its s", "its peak GB", "faster", "memory")


def seconds(record: Record) -> float:
    """Median of the runs that count."""
    return float(statistics.median(record["seconds"]))


def line(record: Record, matmul_rate: float) -> str:
    """One measurement for people who wait."""
    name = f"{record['item']:34} {record['implementation']:18}"
    if "error" in record:
        return f"{name} {record['error']}"
    median, lowest, highest = seconds(record), min(record["seconds"]), max(record["seconds"])
    text = f"{name} {median:9.4f} s ({lowest:.4f} to {highest:.4f}, {len(record['seconds'])} runs)"
    if record.get("flops"):
        rate = record["flops"] / median
        text += f", {rate / 1e12:.4g} TFLOP/s, {rate / matmul_rate:.0%} of matmul"
    if record.get("peak"):
        text += f", peak {_gigabytes(record['peak'])} GB, weights {_gigabytes(record['weights'])}"
    stages = record.get("stages", {})
    return text + "".join(f"\n    {stage:14} {took:9.4f} s" for stage, took in stages.items())


def tables(runs: dict[str, Record], records: Sequence[Record]) -> str:
    """One table for each kind of item.

    Ratios are of one run: of an item, the newest run counts that measured a peer beside it, else the newest.
    """
    done = sorted((record for record in records if "error" not in record), key=lambda record: record["run"])
    beside = {(record["run"], record["item"]) for record in done if record["implementation"] != OURS}
    chosen: dict[str, Record] = {}
    for with_peer in (False, True):
        for record in done:
            at = record["run"], record["item"]
            if record["implementation"] == OURS and (at in beside or not with_peer):
                chosen[record["item"]] = record
    parts = []
    for kind, title in TITLES.items():
        own = [record for record in chosen.values() if record["kind"] == kind]
        if own:
            parts += [f"### {title}", *_table(runs, own, done), *_stages(own)]
    used = sorted({record["run"] for record in chosen.values()})
    return "\n".join([*(_machine(run, runs[run]) for run in used), "", *parts]).strip() + "\n"


def _machine(name: str, run: Record) -> str:
    machine = run["machine"]
    device = f"{machine['device']} ({machine['backend']})"
    return (
        f"- run {name}: {device}, MLX {machine['mlx']}, {machine['dtype']}; matrix products of "
        f"{machine['matmul_size']} run at {machine['matmul_rate'] / 1e12:.3g} TFLOP/s, "
        f"copies at {machine['copy_rate'] / 1e9:.0f} GB/s"
        + ("" if run["scale"] == "full" else "; tiny sizes")
    )


def _table(runs: dict[str, Record], own: Sequence[Record], records: Sequence[Record]) -> Iterable[str]:
    peers = [_peers(record, records) for record in own]
    columns = (*OWN, *PEER) if any(peers) else OWN
    yield from ("", _row(columns, len(columns)), "| --- |" + " ---: |" * (len(columns) - 1))
    for record, beside in zip(own, peers, strict=True):
        rate = record["flops"] / seconds(record) if record.get("flops") else None
        share = None if rate is None else rate / runs[record["run"]]["machine"]["matmul_rate"]
        cells = [
            record["item"],
            f"{seconds(record):.4g}",
            "" if rate is None else f"{rate / 1e12:.4g}",
            "" if share is None else f"{share:.0%}",
            _gigabytes(record["peak"]),
            _gigabytes(record["weights"]),
        ]
        yield _row([*cells, *(_beside(record, beside[0]) if beside else [])], len(columns))
        for peer in beside[1:]:
            yield _row([""] * len(OWN) + _beside(record, peer), len(columns))
    yield ""


def _peers(record: Record, records: Sequence[Record]) -> list[Record]:
    """What else was measured in the same run."""
    at = record["run"], record["item"]
    return [peer for peer in records if (peer["run"], peer["item"]) == at and peer["implementation"] != OURS]


def _beside(record: Record, peer: Record) -> list[str]:
    """A peer's cells; ratios above 1 are faster, and below 1 less memory, than the peer."""
    cells = [peer["implementation"], f"{seconds(peer):.4g}"]
    faster = f"{seconds(peer) / seconds(record):.2f}x"
    if not peer.get("peak") or not record.get("peak"):
        return [*cells, "", faster, ""]
    return [*cells, _gigabytes(peer["peak"]), faster, f"{record['peak'] / peer['peak']:.2f}x"]


def _stages(own: Sequence[Record]) -> Iterable[str]:
    """Seconds of the stages of whole generations."""
    whole = [record for record in own if "stages" in record]
    if not whole:
        return
    names = list(dict.fromkeys(name for record in whole for name in record["stages"]))
    yield "| stage | " + " | ".join(record["item"] for record in whole) + " |"
    yield "| --- |" + " ---: |" * len(whole)
    for name in names:
        yield _row([name, *(_seconds(record["stages"].get(name)) for record in whole)], len(whole) + 1)
    yield ""


def _row(cells: Sequence[Any], count: int) -> str:
    return "| " + " | ".join([*map(str, cells), *[""] * (count - len(cells))]) + " |"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _gigabytes(value: int | None) -> str:
    return "" if value is None else f"{value / 1e9:.3g}"
