"""What every stage of the training shares: its options, the time budget, the log and the loop.

Stages are limited by the clock, not by a number of steps: learning rates and mixtures follow the fraction of
`--minutes` that has passed, compilation of kernels included.
"""

import argparse
import json
import math
import time
from collections.abc import Iterable
from pathlib import Path

import mlx.core as mx
import numpy as np

from ltx_pocket.train.team import Team
from ltx_pocket.train.trainer import Metrics, Trainer

STEPS_TOGETHER = 16
"""Steps between two looks at the first process's clock: each of them waits for the GPUs."""


def arguments(description: str | None, *, minutes: float) -> argparse.ArgumentParser:
    """The options that every stage has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and samples")
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="when to stop, kernel compilation included"
    )
    parser.add_argument("--resume", type=Path, help="folder of an earlier run of this stage, to go on from")
    parser.add_argument(
        "--size", choices=("pocket", "tiny"), default="pocket", help="tiny: to try the code out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--fused", action="store_true", help="compile a step as a whole: fast, after minutes the first time"
    )
    return parser


class Clock:
    """The time budget of a run, counted from its construction."""

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.start = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def fraction(self) -> float:
        """Part of the budget that has passed, from 0 to 1 and beyond."""
        return self.elapsed / self.seconds if self.seconds else 1.0


class Pace:
    """How much of the time has passed, the same in all processes: they must take the same steps.

    Between two looks at the clock it goes on as fast as before.
    """

    def __init__(self, team: Team, clock: Clock) -> None:
        self.team, self.clock = team, clock
        self.every = 1 if team.size == 1 else STEPS_TOGETHER
        self.steps = 0
        self.known = self.ahead = 0.0

    def fraction(self) -> float:
        """To be asked once for every step."""
        since = self.steps % self.every
        if since == 0:
            now = self.team.agreed(self.clock.fraction)
            self.ahead = (now - self.known) / self.every if self.steps else 0.0
            self.known = now
        self.steps += 1
        return self.known + since * self.ahead


def warm_cosine(fraction: float, steps: int, peak: float, warmup_steps: int = 100) -> float:
    """Learning rate: a linear rise over the first steps, half a cosine over the budget, 1 % at its end."""
    rise = min(1.0, (steps + 1) / warmup_steps)
    return peak * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction))))


class Log:
    """Numbers of a run: all of them to `log.jsonl`, a line to the terminal every few seconds."""

    def __init__(self, folder: Path, clock: Clock, every: float = 10.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / "log.jsonl").open("a")
        self.clock = clock
        self.every = every
        self.kept: list[Metrics] = []
        self.since = clock.elapsed

    def add(self, step: int, metrics: Metrics, **more: float | str) -> None:
        """Count a step. Waits for the one before it, so that the GPU is never more than one step behind."""
        if self.kept:
            mx.eval(self.kept[-1])
        self.kept.append(metrics)
        now = self.clock.elapsed
        if now - self.since < self.every and len(self.kept) < 1000:
            return
        mx.eval(self.kept)
        names = dict.fromkeys(name for entry in self.kept for name in entry)
        means: dict[str, float | str] = {}
        for name in names:
            values = [float(np.array(entry[name])) for entry in self.kept if name in entry]
            means[name] = round(sum(values) / len(values), 6)
        milliseconds = 1000 * (self.clock.elapsed - self.since) / len(self.kept)
        self.event(step=step, **means, **more, ms=round(milliseconds, 1))
        self.kept, self.since = [], self.clock.elapsed

    def event(self, **values: float | str) -> None:
        """Write and show one line now."""
        entry = {"seconds": round(self.clock.elapsed, 1), **values}
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()
        shown = (
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in entry.items()
        )
        print(f"{min(1.0, self.clock.fraction):4.0%} " + "  ".join(shown), flush=True)


def run(
    trainer: Trainer,
    batches: Iterable[tuple[mx.array, ...]],
    clock: Clock,
    log: Log,
    *,
    learning_rate: float,
    until: float = 1.0,
    folder: Path | None = None,
    save_every: float = 150.0,
) -> None:
    """Train until the given fraction of the time budget.

    Args:
        batches: an endless iterator; it may look at the clock.
        learning_rate: the highest one, see `warm_cosine`.
        until: stop at this fraction of the clock's budget.
        folder: save the state there every `save_every` seconds, in case that the run is cut off.
    """
    saved, first = clock.elapsed, trainer.steps
    for batch in batches:
        if clock.fraction >= until:
            return
        # A warm-up after every start: an earlier run's moments may be gone.
        rate = warm_cosine(clock.fraction / until, trainer.steps - first, learning_rate)
        log.add(trainer.steps, trainer.step(rate, *batch), rate=rate)
        if folder and clock.elapsed - saved > save_every:
            trainer.save(folder)
            saved = clock.elapsed
