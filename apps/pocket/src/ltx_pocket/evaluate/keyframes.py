"""From one image to another: whether both are hit, and whether something moves from the one to the other."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from ltx_pipelines import ImageCondition, KeyframeInterpolationConfig, KeyframeInterpolationPipeline

from ltx_pocket.evaluate.judge import Case, Made
from ltx_pocket.evaluate.makers import Size, World, made_of
from ltx_pocket.evaluate.numbers import mean, share, worst
from ltx_pocket.evaluate.parts import IMAGE_TARGET, Series, similarity
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.evaluate.tracks import seen_way, true_way


class Interpolator:
    """The pipeline between the first and the last picture of scenes.

    Args:
        steps: of the guided stage; None for the model's own.
    """

    def __init__(self, pipeline: KeyframeInterpolationPipeline, size: Size, steps: int | None = None) -> None:
        self.pipeline, self.size, self.steps = pipeline, size, steps
        self.world = World(size)

    def __call__(self, case: Case, image: np.ndarray | None = None) -> Made:
        frames = self.world(case).frames
        images = ImageCondition(frames[0], frame=0), ImageCondition(frames[-1], frame=-1)
        config = KeyframeInterpolationConfig(
            prompt=case.prompt,
            seed=case.seed,
            images=images,
            num_inference_steps=self.steps,
            **self.size._asdict(),
        )
        return made_of(self.pipeline(config))


def half_way(case: Case, made: Made) -> bool:
    """Whether the thing is between its two places in the middle of the clip: beyond a fifth of its way, and
    not past four."""
    true, seen = true_way(case.scene, made), seen_way(case.scene, made)
    middle = slice(len(true) // 2 - 1, len(true) // 2 + 2)
    if seen is None or not np.isfinite(seen[middle]).all():
        return False
    way = true[-1] - true[0]
    done = float(((seen[middle].mean(axis=0) - true[0]) * way).sum() / (way**2).sum())
    return 0.2 < done < 0.8


def no_cross_fade(truth: Made, made: Made) -> bool:
    """Whether the middle of a clip is more like the scene's than like both ends on top of each other."""
    middle = len(truth.frames) // 2
    faded = truth.frames[[0, -1]].mean(axis=0)
    own = made.frames[middle]
    return similarity(own, truth.frames[middle]) > similarity(own, faded)


def measure_keyframes(make: Interpolator, cases: Iterable[Case], sheet: ContactSheet) -> dict[str, Any]:
    """How near the ends of clips are to the images, and what is between them; plain JSON values."""
    series = Series(sheet)
    first, last, between, moved = [], [], [], []
    for case in cases:
        truth, made = make.world(case), series.add(make, case)
        first.append(similarity(made.frames[0], truth.frames[0]))
        last.append(similarity(made.frames[-1], truth.frames[-1]))
        between.append(half_way(case, made))
        moved.append(no_cross_fade(truth, made))
    hit = [min(pair) >= IMAGE_TARGET for pair in zip(first, last, strict=True)]
    numbers = {
        "first image, dB": mean(first, IMAGE_TARGET),
        "  the worst": worst(first, IMAGE_TARGET),
        "last image, dB": mean(last, IMAGE_TARGET),
        "  the worst one": worst(last, IMAGE_TARGET),
        "both hit, %": share(hit, 100),
        "half-way in the middle, %": share(between),
        "no cross-fade, %": share(moved),
    }
    return {"numbers": numbers, **series.summary()}
