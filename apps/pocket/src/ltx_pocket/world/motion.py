"""Where things are: the one source of positions for pictures and sound."""

import math
from typing import NamedTuple

import mlx.core as mx

from ltx_pocket.world.scene import SceneBatch
from ltx_pocket.world.vocabulary import MOTIONS


class Pose(NamedTuple):
    """A thing over time; every array (B, T)."""

    x: mx.array  # of the picture's width
    y: mx.array  # of the picture's height, downwards
    orbit_x: mx.array  # to be added, in units of the shorter side
    orbit_y: mx.array
    scale: mx.array  # of the radius
    angle: mx.array  # radians, clockwise on the screen


def _glide(time: mx.array, seconds: float) -> mx.array:
    """From 0 to 1 in two seconds, then slowly to rest, so that nothing leaves a longer clip."""
    return mx.tanh(time / seconds) * (1 / math.tanh(2 / seconds))


def pose(batch: SceneBatch, thing: int, time: mx.array) -> Pose:
    """Thing number `thing` of every scene at the times (T,) in seconds."""

    def column(values: mx.array) -> mx.array:
        return values[:, thing, None]

    motion = column(batch.motion)

    def moves(name: str) -> mx.array:
        return (motion == MOTIONS.index(name)).astype(mx.float32)

    time = time[None, :]
    extent = column(batch.extent)
    cycles = time / column(batch.period) + column(batch.phase)
    glide, swell = _glide(time, 2.5), _glide(time, 1.6)
    flight = cycles - mx.floor(cycles)
    height = 4 * flight * (1 - flight)
    turn = 2 * math.pi * cycles
    return Pose(
        x=column(batch.x) + extent * glide * (moves("right") - moves("left")),
        y=column(batch.y) + extent * (glide * (moves("down") - moves("up")) - height * moves("bounce")),
        orbit_x=extent * mx.sin(turn) * moves("circle"),
        orbit_y=-extent * mx.cos(turn) * moves("circle"),
        scale=1 + (0.68 * swell - 0.38) * moves("grow") + (0.3 - 0.68 * swell) * moves("shrink"),
        angle=turn * moves("spin"),
    )


def contacts(period: float, phase: float, seconds: float) -> list[float]:
    """The moments at which a bounce of this period and phase touches the ground, without time zero."""
    count = math.floor(seconds / period + phase)
    return [(number - phase) * period for number in range(1, count + 1)]
