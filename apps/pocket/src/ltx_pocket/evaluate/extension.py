"""New frames behind and before a clip: whether things go on as they moved."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from ltx_pipelines import ExtendConfig, ExtendPipeline

from ltx_pocket.evaluate.judge import Case, Made
from ltx_pocket.evaluate.makers import Size, World, made_of, video_input
from ltx_pocket.evaluate.numbers import mean, share
from ltx_pocket.evaluate.parts import Series
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.evaluate.tracks import mean_distance, seen_way, true_way


class Extender:
    """The pipeline on one half of scenes, of which it makes the other."""

    def __init__(self, pipeline: ExtendPipeline, size: Size, before: bool) -> None:
        self.pipeline, self.size, self.before = pipeline, size, before
        self.world = World(size)
        self.new = max(size.num_frames // 16, 1) * 8

    def source(self, case: Case) -> Made:
        """The half that is given."""
        truth = self.world(case)
        frames = len(truth.frames) - self.new
        samples = round(frames / truth.frame_rate * truth.sampling_rate)
        if self.before:
            return truth._replace(frames=truth.frames[self.new :], waveform=truth.waveform[:, -samples:])
        return truth._replace(frames=truth.frames[:frames], waveform=truth.waveform[:, :samples])

    def __call__(self, case: Case, image: np.ndarray | None = None) -> Made:
        config = ExtendConfig(
            prompt=case.prompt,
            seed=case.seed,
            source=video_input(self.source(case)),
            new_frames=self.new,
            before=self.before,
            num_frames=self.size.num_frames,
        )
        return made_of(self.pipeline(config))


def measure_extension(make: Extender, cases: Iterable[Case], sheet: ContactSheet) -> dict[str, Any]:
    """Where the thing goes in the new half, against the world's own; plain JSON values."""
    series = Series(sheet)
    kept: list[bool] = []
    rows: list[dict[str, float | None]] = []
    for case in cases:
        made = series.add(make, case)
        given = make.source(case).frames
        own = made.frames[make.new :] if make.before else made.frames[: len(given)]
        kept.append(bool(np.array_equal(own, given)))
        rows.append(continuation(case, made, make.new, make.before))
    numbers = {
        "the given half unchanged, %": share(kept, 100),
        "goes on, %": share([(row["speed"] or 0) > 50 for row in rows]),
        "speed, % of the true one": mean([row["speed"] for row in rows]),
        "away from the true way, % of the picture": mean([row["distance"] for row in rows]),
        "  if it stood still": mean([row["still"] for row in rows]),
        "jump at the seam, % of the picture": mean([row["jump"] for row in rows]),
    }
    return {"numbers": numbers, **series.summary()}


def continuation(case: Case, made: Made, new: int, before: bool) -> dict[str, float | None]:
    """Numbers in per cent of one clip, None where the thing is not seen.

    speed: how far it gets by the end of the new part, along its true way, of how far it should. distance:
    from its true places there; still: the same for a thing that stays where it is at the seam. jump: how much
    its step over the seam is too long or too short.
    """
    true, seen = true_way(case.scene, made), seen_way(case.scene, made)
    if seen is None:
        return dict.fromkeys(("speed", "distance", "still", "jump"))
    if before:  # the same, backwards
        true, seen = true[::-1], seen[::-1]
    edge = len(true) - new
    wanted, found = true[edge:], seen[edge:]
    still = float(np.hypot(*(wanted - true[edge - 1]).T).mean())
    steps = (seen[edge] - seen[edge - 1]) - (true[edge] - true[edge - 1])
    ways = wanted[-3:] - true[edge - 1]
    gone = ((found[-3:] - seen[edge - 1]) * ways).sum(axis=1) / (ways**2).sum(axis=1)
    distance = mean_distance(found, wanted)
    return {
        "speed": float(100 * np.nanmean(gone)) if np.isfinite(gone).any() else None,
        "distance": None if distance is None else 100 * distance,
        "still": 100 * still,
        "jump": float(100 * np.hypot(*steps)) if np.isfinite(steps).all() else None,
    }
