"""The parts of the measurement that make clips: prompts, and images to go on from."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import numpy as np

from ltx_pocket.evaluate.judge import Case, Made, Verdict, judge
from ltx_pocket.evaluate.makers import Maker, Size, first_frame
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.evaluate.tally import Share, decibels, tally
from ltx_pocket.world.detectors import is_neon, psnr

IMAGE_TARGET = 25.0
"""Decibels of a clip's first frame against the image that it was to start from."""


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of pictures or clips of values up to 255."""
    return psnr(first / np.float32(255), second / np.float32(255))


class Series:
    """Clips made and judged one after the other.

    Args:
        sheet: keeps them for people.
    """

    def __init__(self, sheet: ContactSheet) -> None:
        self.sheet = sheet
        self.verdicts: list[Verdict] = []
        self.seconds = 0.0

    def add(self, make: Maker, case: Case, image: np.ndarray | None = None) -> Made:
        """Make the clip of a prompt, on from an image if one is given, and judge it."""
        with self.timed():
            made = make(case, image)
        self.keep(case, made)
        return made

    @contextmanager
    def timed(self) -> Iterator[None]:
        """While a clip is made."""
        started = monotonic()
        yield
        self.seconds += monotonic() - started

    def keep(self, case: Case, made: Made) -> None:
        """Judge a clip."""
        verdict = judge(case, made)
        self.verdicts.append(verdict)
        self.sheet.add(case, made, verdict)

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; writes the sheet."""
        self.sheet.write()
        seconds = round(self.seconds / max(1, len(self.verdicts)), 2)
        return {**tally(self.verdicts), "seconds_per_clip": seconds}


def measure_prompts(make: Maker, cases: Iterable[Case], sheet: ContactSheet) -> dict[str, Any]:
    """Make a clip of every prompt, and judge it; plain JSON values."""
    series = Series(sheet)
    for case in cases:
        series.add(make, case)
    return series.summary()


def measure_images(make: Maker, cases: Iterable[Case], sheet: ContactSheet, size: Size) -> dict[str, Any]:
    """The same, on from the first picture of each scene, and how near to it the clips begin, in dB."""
    series = Series(sheet)
    ratios: list[float] = []
    for case in cases:
        image = first_frame(case.scene, size)
        made = series.add(make, case, image)
        ratios.append(similarity(made.frames[0], image))
    near = Share(sum(value >= IMAGE_TARGET for value in ratios), len(ratios))
    first = {**decibels(ratios, IMAGE_TARGET), "reached": near.to_dict()}
    return {"first_frame": first, **series.summary()}


def measure_style(make: Maker, cases: Iterable[Case], sheet: ContactSheet) -> dict[str, Any]:
    """The same as for prompts, and how many clips show neon things, of those that have a colour."""
    series = Series(sheet)
    found: list[bool] = []
    for case in cases:
        made = series.add(make, case)
        neon = is_neon(made.frames / np.float32(255), made.frame_rate)
        found += [] if neon is None else [neon]
    return {"neon": Share(sum(found), len(found)).to_dict(), **series.summary()}
