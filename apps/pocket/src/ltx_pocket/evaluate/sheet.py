"""A series of clips for people: frames of the first ones as one picture, what became of each as text."""

import math
from pathlib import Path

import mlx.core as mx
import numpy as np

from ltx_pocket.evaluate.judge import Case, Made, Verdict
from ltx_pocket.train.samples import write_grid

CLIPS = 16
FRAMES = 5
WIDTH = 128
"""Pixels of a frame, at least."""


class ContactSheet:
    """A picture with a row for each of the first `CLIPS` clips, and a text about all of them.

    Args:
        path: of the picture; the text lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[mx.array] = []
        self.lines: list[str] = []

    def add(self, case: Case, made: Made, verdict: Verdict) -> None:
        """Keep a clip."""
        title = f"{len(self.lines) + 1:2}. {case.prompt} (seed {case.seed})"
        self.lines.append(f"{title}\n    {describe(verdict)}")
        if len(self.rows) == CLIPS:
            return
        step = max(1, made.frames.shape[2] // WIDTH)
        chosen = np.linspace(0, len(made.frames) - 1, FRAMES).round().astype(int)
        self.rows.append(mx.array(made.frames[chosen, ::step, ::step]).astype(mx.float32) / 255)

    def write(self) -> None:
        """Write both files."""
        write_grid(self.path, self.rows)
        self.path.with_suffix(".txt").write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def describe(verdict: Verdict) -> str:
    """What became of a prompt, in a line."""
    words = []
    for measure, pairs in verdict.pairs.items():
        wrong = [f"{pair.found} for {pair.wanted}" for pair in pairs if pair.found != pair.wanted]
        words.append(f"{measure}: {', '.join(wrong) if wrong else 'right'}")
    wanted, found = verdict.things
    if wanted != found:
        words.append(f"things: {found} for {wanted}")
    if verdict.sync is not None:
        late = f"pulses off by {1000 * verdict.sync:.0f} ms" if math.isfinite(verdict.sync) else "no pulses"
        words.append(late)
    return "; ".join(words)
