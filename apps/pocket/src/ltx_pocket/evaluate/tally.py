"""Many verdicts as a few numbers."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from ltx_pocket.evaluate.judge import MEASURES, Pair, Verdict

TARGETS = {"colour": 95.0, "shape": 85.0, "motion": 90.0, "background": 90.0, "sound": 85.0}
"""Per cent of clips that the shipped model is to get right."""

IN_TIME = 0.1
"""Seconds within which an eye and an ear take two events for one."""

IDENTICAL = 99.0
"""Decibels in place of infinity, which JSON does not know."""

LISTED = 5
"""Kinds of mistakes that are listed for each measure."""


@dataclass(frozen=True)
class Share:
    """How many of those that were judged are right."""

    right: int
    judged: int

    @property
    def percent(self) -> float | None:
        """None where nothing was judged."""
        return round(100 * self.right / self.judged, 1) if self.judged else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"right": self.right, "judged": self.judged, "percent": self.percent}


def decibels(values: Sequence[float], target: float) -> dict[str, Any]:
    """Mean and worst of a series of ratios, as plain JSON values; identical pictures count as `IDENTICAL`."""
    finite = [min(value, IDENTICAL) for value in values]
    return {"mean": round(fmean(finite), 2), "worst": round(min(finite), 2), "target": target}


def mistakes(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """The most frequent ones, as plain JSON values."""
    wrong = Counter(pair for pair in pairs if pair.wanted != pair.found)
    return [{**pair._asdict(), "times": times} for pair, times in wrong.most_common(LISTED)]


def tally(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What a series of clips adds up to, as plain JSON values.

    `measures` has shares of clips; `number_of_things` says how many clips show as many as were asked for.
    """
    numbers = [verdict.things[0] == verdict.things[1] for verdict in verdicts]
    return {
        "clips": len(verdicts),
        "measures": {name: _measure(name, verdicts) for name in MEASURES},
        "number_of_things": Share(sum(numbers), len(numbers)).to_dict(),
        "sync": _sync([verdict.sync for verdict in verdicts if verdict.sync is not None]),
    }


def _measure(name: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    judged = [verdict.right(name) for verdict in verdicts if name in verdict.pairs]
    share = Share(sum(map(bool, judged)), len(judged))
    pairs = [pair for verdict in verdicts for pair in verdict.pairs.get(name, ())]
    return {**share.to_dict(), "target": TARGETS[name], "mistakes": mistakes(pairs)}


def _sync(offsets: Sequence[float]) -> dict[str, Any]:
    """Timing of the pulses that were asked for with a bounce.

    asked: clips; measured: those that show a bounce and have pulses; mean and median of their offsets;
    in_time: of all asked for, within `IN_TIME`.
    """
    finite = [1000 * offset for offset in offsets if math.isfinite(offset)]
    return {
        "asked": len(offsets),
        "measured": len(finite),
        "mean_ms": round(fmean(finite), 1) if finite else None,
        "median_ms": round(median(finite), 1) if finite else None,
        "in_time": Share(sum(offset <= IN_TIME for offset in offsets), len(offsets)).to_dict(),
    }
