"""Recipes stay readable: short files that share functions, not lines."""

import re
from itertools import combinations
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "packages" / "ltx-pipelines" / "src" / "ltx_pipelines"
PIPELINES = [
    path
    for path in sorted(FOLDER.glob("*.py"))
    if re.search(r"^class \w+Pipeline[:(]", path.read_text(), re.M)
]
LONGEST, SHARED = 200, 6


def lines(path: Path) -> list[str]:
    """What stands in a file, without empty lines and indentation."""
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def longest_common_run(first: list[str], second: list[str]) -> list[str]:
    """The longest run of lines that both have."""
    best: list[str] = []
    lengths: dict[int, int] = {}
    for i, line in enumerate(first):
        lengths = {j: lengths.get(j - 1, 0) + 1 for j, other in enumerate(second) if other == line}
        for length in lengths.values():
            if length > len(best):
                best = first[i - length + 1 : i + 1]
    return best


def test_all_pipelines_are_looked_at() -> None:
    assert len(PIPELINES) >= 10


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_a_pipeline_fits_on_a_few_screens(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize(("first", "second"), list(combinations(PIPELINES, 2)), ids=lambda path: path.stem)
def test_no_two_pipelines_share_lines(first: Path, second: Path) -> None:
    shared = longest_common_run(lines(first), lines(second))
    assert len(shared) < SHARED, "\n".join(shared)
