"""Time and peak memory of a piece of work on MLX's default device."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx

Run = Callable[[], Any]
"""A piece of work. What it returns, a tree of arrays or nothing, is evaluated."""


@dataclass(frozen=True)
class Repetitions:
    """How often a piece of work is measured.

    Attributes:
        warmup: runs before the first that counts: kernels are compiled and chosen, caches filled.
        count: runs that count, at most.
        seconds: no run begins after that time, but one runs in any case.
    """

    warmup: int = 2
    count: int = 5
    seconds: float = 20.0


USUAL = Repetitions()


@dataclass(frozen=True)
class Measurement:
    """Times of the runs that count, and memory.

    Attributes:
        seconds: of each run.
        peak: bytes of arrays alive at the worst moment of these runs, weights included.
        before: bytes of arrays alive before them.
    """

    seconds: list[float]
    peak: int
    before: int

    @property
    def median(self) -> float:
        """Of the runs' seconds."""
        return statistics.median(self.seconds)


def measure(
    run: Run, repetitions: Repetitions = USUAL, excluded: Callable[[], float] | None = None
) -> Measurement:
    """Run it, warm, a few times, waiting for the device each time.

    Args:
        excluded: seconds so far that are no part of the work, such as those of making what it works with.
    """
    for _ in range(repetitions.warmup):
        mx.eval(run())
    mx.synchronize()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    seconds: list[float] = []
    end = time.perf_counter() + repetitions.seconds
    while not seconds or (len(seconds) < repetitions.count and time.perf_counter() < end):
        start = time.perf_counter() - (excluded() if excluded else 0)
        mx.eval(run())
        mx.synchronize()
        seconds.append(time.perf_counter() - start - (excluded() if excluded else 0))
    return Measurement(seconds, mx.get_peak_memory(), before)
