"""Whether things move as a reference does, of which the prompt says nothing."""

from collections.abc import Iterable
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import mlx.core as mx
import numpy as np
from ltx_pipelines import ICLoraConfig, ICLoraPipeline, ReferenceVideo

from ltx_pocket.evaluate.judge import Case, Made, assign
from ltx_pocket.evaluate.makers import Maker, Size, to_bytes
from ltx_pocket.evaluate.parts import Series
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.world import HELD_OUT_SEED, Scene, pack, silhouettes
from ltx_pocket.world.captions import caption_with_parts
from ltx_pocket.world.detectors import look
from ltx_pocket.world.motion import pose


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
        result = self.pipeline(config)
        assert result.audio is not None
        waveform = np.array(result.audio.waveform.astype(mx.float32))
        return Made(result.frames, result.frame_rate, waveform, result.audio.sampling_rate)


def track_distance(scene: Scene, made: Made) -> float | None:
    """How far the thing is from where the scene's first one is, in units of the picture's shorter side.

    The mean over all frames in which it is seen; None where there is none.
    """
    frames, height, width, _ = made.frames.shape
    first = scene.things[0]
    wanted = [{"colour": thing.colour, "shape": thing.shape} for thing in scene.things]
    seen = assign(wanted, look(made.frames / np.float32(255), made.frame_rate).things)[0]
    if seen is None:
        return None
    time = mx.arange(frames).astype(mx.float32) / made.frame_rate
    way = pose(pack([replace(scene, things=(first,))]), 0, time)
    shorter = min(height, width)
    x = np.array(way.x[0]) * width + np.array(way.orbit_x[0]) * shorter
    y = np.array(way.y[0]) * height + np.array(way.orbit_y[0]) * shorter
    away = np.hypot(seen.track.x * width - x, seen.track.y * height - y) / shorter
    return float(np.nanmean(away)) if np.isfinite(away).any() else None


def measure_following(make: Maker, cases: Iterable[Case], sheet: ContactSheet) -> dict[str, Any]:
    """The same as for prompts, and the distance of the tracks; plain JSON values."""
    series = Series(make, sheet)
    ways: list[float] = []
    for case in cases:
        way = track_distance(case.scene, series.add(case))
        ways += [] if way is None else [way]
    distance = {
        "mean": round(fmean(ways), 4) if ways else None,
        "median": round(median(ways), 4) if ways else None,
        "measured": len(ways),
    }
    return {"distance": distance, **series.summary()}
