"""Training data: scenes drawn once, pictures and sounds made of them on the device for every step."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import mlx.core as mx
import numpy as np
from ltx_core.device import compiled

from ltx_pocket.world import HELD_OUT_SEED, Scene, SceneBatch, pack, render, sample_scene, synthesize
from ltx_pocket.world.motion import pose


class Scenes:
    """Many scenes as arrays on the device, of which batches are drawn.

    Args:
        seed: of the scenes and of the draws; below `HELD_OUT_SEED`.
        count: how many different scenes there are.
    """

    def __init__(self, seed: int, count: int) -> None:
        if seed >= HELD_OUT_SEED:
            raise ValueError(f"seeds from {HELD_OUT_SEED} on are for evaluation, got {seed}")
        self.rng = np.random.default_rng(seed)
        self.scenes = [sample_scene(self.rng) for _ in range(count)]
        self.packed = pack(self.scenes)

    def draw(self, size: int) -> SceneBatch:
        """`size` scenes at random."""
        index = mx.array(self.rng.integers(len(self.scenes), size=size))
        return SceneBatch(*(values[index] for values in self.packed))


def held_out(count: int, which: int = 0) -> list[Scene]:
    """Scenes that no training run sees, the same ones for the same `which`."""
    rng = np.random.default_rng(HELD_OUT_SEED + which)
    return [sample_scene(rng) for _ in range(count)]


def batches(scenes: Sequence[Scene], size: int) -> list[SceneBatch]:
    """All scenes, in batches of `size`; what is left over at the end is dropped."""
    return [pack(scenes[start : start + size]) for start in range(0, len(scenes) - size + 1, size)]


@cache
def _renderer(height: int, width: int, num_frames: int) -> Callable[..., mx.array]:
    def draw(frame_rate: mx.array, *batch: mx.array) -> mx.array:
        frames = render(SceneBatch(*batch), height, width, num_frames, cast(float, frame_rate))
        return 2 * frames.transpose(0, 4, 1, 2, 3) - 1

    # The ratio of the sides is a constant of the kernels. For each ratio CUDA would compile them anew,
    # 80 seconds; other clips than square ones are too few for that.
    return compiled(draw) if height == width else draw


def clips(batch: SceneBatch, height: int, width: int, num_frames: int, frame_rate: float) -> mx.array:
    """Pixels as the video encoder takes them: (B, 3, F, H, W) in [-1, 1]."""
    return _renderer(height, width, num_frames)(mx.array(frame_rate, mx.float32), *batch)


class ClipPool:
    """Clips of one size that are rendered once, as bytes on the device, and cut into smaller ones at random.

    Args:
        scenes: where the scenes come from.
        count: clips.
        edge: height and width in pixels.
        at_once: clips that are rendered together.
    """

    def __init__(
        self, scenes: Scenes, count: int, edge: int, num_frames: int, frame_rate: float, at_once: int = 16
    ) -> None:
        self.edge, self.num_frames = edge, num_frames
        parts: list[mx.array] = []
        middles: list[np.ndarray] = []
        time = mx.arange(num_frames).astype(mx.float32) / frame_rate
        for first in range(0, count, at_once):
            packed = scenes.draw(min(at_once, count - first))
            pixels = clips(packed, edge, edge, num_frames, frame_rate)
            parts.append(mx.round((pixels + 1) * 127.5).astype(mx.uint8).transpose(0, 2, 3, 4, 1))
            way = pose(packed, 0, time)
            middles.append(np.array(mx.stack([way.x + way.orbit_x, way.y + way.orbit_y], axis=-1)))
            mx.eval(parts)
        self.pixels = mx.concatenate(parts)
        mx.eval(self.pixels)
        self.middles = np.concatenate(middles)

    def draw(self, rng: np.random.Generator, size: int, edge: int, num_frames: int) -> mx.array:
        """`size` clips (B, 3, F, edge, edge) in [-1, 1], half of them around the first thing of a scene."""
        which = rng.integers(len(self.middles), size=size)
        start = rng.integers(self.num_frames - num_frames + 1, size=size)
        room = self.edge - edge
        corner = rng.uniform(0, room, (size, 2))
        middle = self.middles[which, start + num_frames // 2] * self.edge
        near = middle - edge / 2 + rng.uniform(-0.3 * edge, 0.3 * edge, (size, 2))
        corner = np.where(rng.random((size, 1)) < 0.5, near, corner)
        x, y = np.clip(corner.round().astype(np.int64), 0, room).T

        def places(first: np.ndarray, count: int) -> mx.array:
            return mx.array((first[:, None] + np.arange(count)).astype(np.int32))

        cut = self.pixels[
            mx.array(which)[:, None, None, None],
            places(start, num_frames)[:, :, None, None],
            places(y, edge)[:, None, :, None],
            places(x, edge)[:, None, None, :],
        ]
        return cut.astype(mx.float32).transpose(0, 4, 1, 2, 3) / 127.5 - 1


@cache
def _synthesizer(seconds: float, sampling_rate: int) -> Callable[..., mx.array]:
    return compiled(lambda *batch: synthesize(SceneBatch(*batch), seconds, sampling_rate))


def sounds(batch: SceneBatch, seconds: float, sampling_rate: int) -> mx.array:
    """Waveforms (B, 2, samples) in [-1, 1]."""
    return _synthesizer(seconds, sampling_rate)(*batch)
