"""Files of measurements, tables and charts."""

import json
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_bench.pages import insert
from ltx_bench.plot import plots
from ltx_bench.results import OURS, Results, read
from ltx_bench.svg import Line, chart, ticks
from ltx_bench.table import line, tables
from ltx_core import LTXError

MACHINE = {
    "device": "NVIDIA H200", "backend": "cuda", "mlx": "0.32.4", "dtype": "bfloat16", "matmul_size": 8192,
    "matmul_rate": 6.4e14, "copy_rate": 4.2e12, "settings": {},
}  # fmt: skip


def record(run: str, seconds: float, implementation: str = OURS, tokens: int = 6144, **more: Any) -> Any:
    return {
        "run": run, "item": f"transformer/2.0/{tokens}", "kind": "transformer", "version": "2.0",
        "size": "768x512x121", "frames": 121, "tokens": tokens, "batch": 1, "variant": "",
        "implementation": implementation, "seconds": [seconds, 2 * seconds, seconds], "peak": 40 * 10**9,
        "weights": 38 * 10**9, "flops": 2 * 10**14, **more,
    }  # fmt: skip


def runs(*names: str) -> dict[str, Any]:
    return {name: {"machine": MACHINE, "scale": "full", "time": name} for name in names}


def test_every_record_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results = Results(path)
    run = results.begin({"machine": MACHINE, "scale": "full"})
    for seconds in (0.5, 0.4):
        results.add(record(run, seconds))
        assert json.loads(path.read_text())["records"][0]["seconds"][0] == seconds
    again = Results(path)
    other = again.begin({"machine": MACHINE, "scale": "full"})
    assert other != run
    again.add(record(other, 0.3))
    found, records = read([path])
    assert list(found) == [run, other]
    assert [each["seconds"][0] for each in records] == [0.4, 0.3]
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_ratios_are_of_one_run() -> None:
    peer = {"implementation": "ltx-core 1.0.0", "peak": 50 * 10**9}
    records = [record("1", 0.4), record("1", 0.5, **peer), record("2", 0.3), record("3", 0.2, error="no")]
    text = tables(runs("1", "2", "3"), records)
    row = next(each for each in text.splitlines() if each.startswith("| transformer/"))
    assert row == (
        "| transformer/2.0/6144 | 0.4 | 500 | 78% | 40 | 38 | ltx-core 1.0.0 | 0.5 | 50 | 1.25x | 0.80x |"
    )
    assert "- run 1: NVIDIA H200 (cuda)" in text
    assert "- run 2" not in text
    # Without a peer anywhere the newest counts, and there are no columns for one.
    text = tables(runs("1", "2"), [record("1", 0.4), record("2", 0.3)])
    assert "| transformer/2.0/6144 | 0.3 | 666.7 | 104% | 40 | 38 |" in text
    assert "peer" not in text


def test_stages_of_whole_generations() -> None:
    own = record("1", 2.0) | {"kind": "distilled", "item": "distilled/2.0/x", "stages": {"stage 1": 0.5}}
    text = tables(runs("1"), [own])
    assert "| stage 1 | 0.500 |" in text
    assert "stage 1 " in line(own, 6.4e14)


def test_a_line_says_what_went_wrong() -> None:
    assert "OutOfMemory" in line(record("1", 1.0, error="OutOfMemory"), 6.4e14)
    assert "31% of matmul" in line(record("1", 1.0), 6.4e14)


def test_texts_go_between_the_marks_of_a_page() -> None:
    begin, end = "<!-- ltx bench table: begin -->", "<!-- ltx bench table: end -->"
    page = f"before\n{begin}\nold\n{end}\nafter\n"
    once = insert(page, "table", "| new |\n")
    assert once == f"before\n{begin}\n\n| new |\n\n{end}\nafter\n"
    assert insert(once, "table", "| new |\n") == once
    for what in ("plot", "tab"):
        with pytest.raises(LTXError, match=f"ltx bench {what}: begin"):
            insert(page, what, "")


def test_charts_of_growth() -> None:
    records = [record("1", seconds, tokens=tokens) for seconds, tokens in ((0.2, 3072), (0.4, 6144))]
    made = plots(runs("1"), records)
    assert set(made) == {"transformer-time.svg", "transformer-memory.svg"}
    root = ElementTree.fromstring(made["transformer-time.svg"])
    circles = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2
    # Twice the tokens and twice the time: on one line with the corner.
    (x1, y1), (x2, y2) = ((float(each.attrib["cx"]), float(each.attrib["cy"])) for each in circles)
    corner = (64, 312)
    assert (x2 - corner[0]) / (x1 - corner[0]) == pytest.approx(2, abs=0.01)
    assert (y2 - corner[1]) / (y1 - corner[1]) == pytest.approx(2, abs=0.01)
    assert not plots(runs("1"), records[:1])


@given(st.floats(1e-6, 1e12))
@settings(max_examples=50, deadline=None)
def test_ticks_reach_what_they_must_show(highest: float) -> None:
    marks = ticks(highest)
    assert marks[0] == 0
    assert marks[-1] >= highest * (1 - 1e-6)
    assert 3 <= len(marks) <= 12
    steps = {round((b - a) / marks[1], 6) for a, b in pairwise(marks)}
    assert steps == {1.0}


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=6),
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=20),
)
@settings(max_examples=50, deadline=None)
def test_a_chart_is_well_formed(points: list[tuple[float, float]], name: str) -> None:
    root = ElementTree.fromstring(chart(name, "tokens", "seconds", [Line(name, points)]))
    for circle in root.findall("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= 640
        assert 0 <= float(circle.attrib["cy"]) <= 360
