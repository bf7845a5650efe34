"""Numbers of a series that only its own part has, as the report keeps them."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ltx_pocket.evaluate.tally import IDENTICAL

Numbers = dict[str, dict[str, Any]]
"""By what stands before them in the table, with its unit."""


def mean(values: Sequence[float | None], target: float | None = None) -> dict[str, Any]:
    """The mean of what was measured; identical pictures count as `IDENTICAL` dB."""
    found = [min(value, IDENTICAL) for value in values if value is not None and not math.isnan(value)]
    return _number(fmean(found) if found else None, len(found), target)


def worst(values: Sequence[float | None], target: float | None = None) -> dict[str, Any]:
    """The least of what was measured."""
    found = [min(value, IDENTICAL) for value in values if value is not None and not math.isnan(value)]
    return _number(min(found, default=None), len(found), target)


def share(found: Sequence[bool | None], target: float | None = None) -> dict[str, Any]:
    """Per cent of those that could be judged."""
    judged = [each for each in found if each is not None]
    return _number(100 * fmean(judged) if judged else None, len(judged), target)


def _number(value: float | None, clips: int, target: float | None) -> dict[str, Any]:
    return {"value": None if value is None else round(value, 3), "clips": clips, "target": target}
