"""Where the first thing of a scene is in a clip, and where it should be."""

from collections.abc import Iterator
from dataclasses import replace

import mlx.core as mx
import numpy as np

from ltx_pocket.evaluate.judge import Case, Made, assign, unseen
from ltx_pocket.world import Scene, pack
from ltx_pocket.world.detectors import look
from ltx_pocket.world.motion import pose

STRAIGHT = ("right", "left", "up", "down")


def travelling(seed: int) -> Iterator[Case]:
    """Unseen prompts that say that a thing moves straight ahead."""
    return (
        case
        for case in unseen(seed)
        if case.scene.things[0].motion in STRAIGHT and {"motion", "colour"} <= case.parts
    )


def true_way(scene: Scene, made: Made) -> np.ndarray:
    """Where the scene's first thing is at each frame of a clip: (F, 2), right and down, in units of the
    picture's shorter side."""
    frames, height, width, _ = made.frames.shape
    time = mx.arange(frames).astype(mx.float32) / made.frame_rate
    way = pose(pack([replace(scene, things=scene.things[:1])]), 0, time)
    shorter = min(height, width)
    x = np.array(way.x[0]) * width / shorter + np.array(way.orbit_x[0])
    y = np.array(way.y[0]) * height / shorter + np.array(way.orbit_y[0])
    return np.stack([x, y], axis=-1)


def seen_way(scene: Scene, made: Made) -> np.ndarray | None:
    """Where it is seen, nan in frames without it; None where nothing is seen at all."""
    _, height, width, _ = made.frames.shape
    wanted = [{"colour": thing.colour, "shape": thing.shape} for thing in scene.things]
    seen = assign(wanted, look(made.frames / np.float32(255), made.frame_rate).things)[0]
    if seen is None:
        return None
    shorter = min(height, width)
    return np.stack([seen.track.x * width / shorter, seen.track.y * height / shorter], axis=-1)


def track_distance(scene: Scene, made: Made) -> float | None:
    """How far the thing is from where it should be, the mean over all frames in which it is seen, in units of
    the picture's shorter side; None where there is none."""
    seen = seen_way(scene, made)
    return None if seen is None else mean_distance(seen, true_way(scene, made))


def mean_distance(seen: np.ndarray, true: np.ndarray) -> float | None:
    """Between two ways of the same length, over the frames that both have; None where they have none."""
    away = np.hypot(*(seen - true).T)
    return float(np.nanmean(away)) if np.isfinite(away).any() else None
