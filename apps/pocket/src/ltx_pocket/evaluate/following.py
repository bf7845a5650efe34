"""Whether things move as a reference does, of which the prompt says nothing."""

from collections.abc import Iterable
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import numpy as np
from ltx_pipelines import ICLoraConfig, ICLoraPipeline, ReferenceVideo

from ltx_pocket.evaluate.judge import Case, Made
from ltx_pocket.evaluate.makers import Maker, Size, made_of, to_bytes
from ltx_pocket.evaluate.parts import Series
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.evaluate.tracks import track_distance
from ltx_pocket.world import HELD_OUT_SEED, Scene, pack, silhouettes
from ltx_pocket.world.captions import caption_with_parts


def untold(case: Case) -> Case:
    """The case with a prompt that leaves out the motion, which is judged all the same."""
    rng = np.random.default_rng([HELD_OUT_SEED, case.seed])
    prompt, parts = caption_with_parts(case.scene, rng, without=("motion",))
    return replace(case, prompt=prompt, parts=parts | {"motion"})


def reference(scene: Scene, size: Size) -> np.ndarray:
    """The silhouette of the first thing as another shape, (F, H, W, 3) uint8."""
    first = scene.things[0]
    other = replace(first, shape="cross" if first.shape == "square" else "square")
    return to_bytes(silhouettes(pack([replace(scene, things=(other,))]), *size)[0])


class Follower:
    """The in-context pipeline, on references of the scenes."""

    def __init__(self, pipeline: ICLoraPipeline, size: Size) -> None:
        self.pipeline, self.size = pipeline, size

    def __call__(self, case: Case, image: np.ndarray | None = None) -> Made:
        video = ReferenceVideo(reference(case.scene, self.size))
        config = ICLoraConfig(
            prompt=case.prompt, seed=case.seed, video_conditioning=(video,), **self.size._asdict()
        )
        return made_of(self.pipeline(config))


def measure_following(make: Maker, cases: Iterable[Case], sheet: ContactSheet) -> dict[str, Any]:
    """The same as for prompts, and the distance of the tracks; plain JSON values."""
    series = Series(sheet)
    ways: list[float] = []
    for case in cases:
        way = track_distance(case.scene, series.add(make, case))
        ways += [] if way is None else [way]
    distance = {
        "mean": round(fmean(ways), 4) if ways else None,
        "median": round(median(ways), 4) if ways else None,
        "measured": len(ways),
    }
    return {"distance": distance, **series.summary()}
