"""Twice the frame rate: whether the frames between are where they belong, and movement is even."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ltx_pipelines import CheckpointModels, DistilledConfig, DistilledPipeline, double_frame_rate
from ltx_pipelines.events import ignore
from ltx_pipelines.result import GenerationResult
from ltx_pipelines.sources import encode_clip

from ltx_pocket.evaluate.judge import Case, Made
from ltx_pocket.evaluate.makers import Size, World, made_of, video_input
from ltx_pocket.evaluate.numbers import mean, share
from ltx_pocket.evaluate.parts import Series, similarity
from ltx_pocket.evaluate.sheet import ContactSheet


class Doubler:
    """Clips of the distilled pipeline, and the scenes themselves, with twice the frames.

    Args:
        upscaler: file of the upscaler in time.
    """

    def __init__(self, models: CheckpointModels, size: Size, upscaler: Path) -> None:
        self.models, self.size, self.upscaler = models, size, upscaler
        self.pipeline = DistilledPipeline(models)

    def made(self, case: Case) -> tuple[Made, Made]:
        """A clip of the prompt, as it is and with twice the frames."""
        config = DistilledConfig(prompt=case.prompt, seed=case.seed, **self.size._asdict())
        result = self.pipeline(config)
        return made_of(result), made_of(double_frame_rate(self.models, result, self.upscaler))

    def scene(self, case: Case) -> tuple[np.ndarray, np.ndarray]:
        """Frames of the scene at twice the rate, and those made of every second of them."""
        size = self.size
        double = size._replace(num_frames=2 * size.num_frames - 1, frame_rate=2 * size.frame_rate)
        half = World(size)(case)
        pixels = video_input(half).pixels(size.height, size.width, size.num_frames, size.frame_rate)
        latent = encode_clip(self.models, pixels, ignore)
        plain = GenerationResult(half.frames, None, latent, None, size.frame_rate, {})
        made = double_frame_rate(self.models, plain, self.upscaler)
        return World(double)(case).frames, made.frames


def unevenness(frames: np.ndarray) -> float:
    """The strongest change from one frame to the next, in units of the usual one: 1 is perfectly even."""
    steps = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    return float(steps.max() / max(float(np.median(steps)), 1e-6))


def measure_doubling(make: Doubler, cases: Iterable[Case], sheet: ContactSheet) -> dict[str, Any]:
    """Of scenes the new frames against the truth, of clips how even they are; plain JSON values."""
    series = Series(sheet)
    doubled: list[bool] = []
    rows: dict[str, list[float | None]] = {name: [] for name in ("new", "old", "repeated", "before", "after")}
    for case in cases:
        with series.timed():
            before, after = make.made(case)
        series.keep(case, after)
        doubled.append(len(after.frames) == 2 * len(before.frames) - 1)
        rows["before"].append(unevenness(before.frames))
        rows["after"].append(unevenness(after.frames))
        truth, scene = make.scene(case)
        rows["new"].append(similarity(scene[1::2], truth[1::2]))
        rows["old"].append(similarity(scene[::2], truth[::2]))
        rows["repeated"].append(similarity(scene[:-1:2], truth[1::2]))
    numbers = {
        "frames doubled, %": share(doubled, 100),
        "new frames of scenes, dB": mean(rows["new"]),
        "  old ones": mean(rows["old"]),
        "  old ones, shown twice": mean(rows["repeated"]),
        "strongest step, of the usual one": mean(rows["after"]),
        "  at the old rate": mean(rows["before"]),
    }
    return {"numbers": numbers, **series.summary()}
