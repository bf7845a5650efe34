"""What a scene is, how one is drawn at random, and how many become one batch of arrays."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from ltx_pocket.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    ROUND_SHAPES,
    SHAPES,
    SIZE_RADIUS,
    SIZES,
    SOUNDS,
)

HELD_OUT_SEED = 10**9
"""Scenes of generators seeded with this or more serve evaluation only; training stays below."""

MAX_THINGS = 2


@dataclass(frozen=True)
class Thing:
    """One object.

    x, y: position relative to the picture (0..1, y downwards): where a straight motion starts,
        the middle of an orbit, the point of contact's centre of a bounce, the centre otherwise.
    extent: how far: of a straight motion the way in the first two seconds relative to the
        picture, of a bounce its height relative to the picture, of an orbit its radius in units
        of the shorter side. Unused by other motions.
    period: seconds of one bounce, orbit or turn. phase: fraction of the period at time zero.
    """

    shape: str
    colour: str
    size: str
    motion: str
    x: float
    y: float
    extent: float = 0.0
    period: float = 1.0
    phase: float = 0.0


@dataclass(frozen=True)
class Scene:
    """One or two things on a background, with a sound that belongs to the first thing.

    seed chooses the noise.
    """

    things: tuple[Thing, ...]
    background: str
    sound: str
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Scene":
        """The inverse of to_dict, also after a round trip through JSON."""
        things = tuple(Thing(**thing) for thing in values["things"])
        return cls(**{**values, "things": things})


class SceneBatch(NamedTuple):
    """Scenes as arrays: (B, 2) for things, (B,) for the rest; int32 for words, float32 for numbers."""

    shape: mx.array
    colour: mx.array
    motion: mx.array
    radius: mx.array  # 0 where there is no second thing
    x: mx.array
    y: mx.array
    extent: mx.array
    period: mx.array
    phase: mx.array
    background: mx.array
    sound: mx.array
    seed: mx.array


def pack(scenes: Sequence[Scene]) -> SceneBatch:
    """Scenes to the arrays that render and synthesize take."""
    absent = Thing(SHAPES[0], COLOURS[0], SIZES[0], MOTIONS[0], 0.5, 0.5)
    rows = [(*scene.things, absent)[:MAX_THINGS] for scene in scenes]
    present = np.array([[i < len(scene.things) for i in range(MAX_THINGS)] for scene in scenes], dtype=bool)
    radius = np.array([[SIZE_RADIUS[thing.size] for thing in row] for row in rows])

    def words(name: str, vocabulary: tuple[str, ...]) -> mx.array:
        return mx.array([[vocabulary.index(getattr(thing, name)) for thing in row] for row in rows], mx.int32)

    def numbers(name: str) -> mx.array:
        return mx.array([[getattr(thing, name) for thing in row] for row in rows], mx.float32)

    return SceneBatch(
        shape=words("shape", SHAPES),
        colour=words("colour", COLOURS),
        motion=words("motion", MOTIONS),
        radius=mx.array(np.where(present, radius, 0.0).astype(np.float32)),
        x=numbers("x"),
        y=numbers("y"),
        extent=numbers("extent"),
        period=numbers("period"),
        phase=numbers("phase"),
        background=mx.array([BACKGROUNDS.index(scene.background) for scene in scenes], mx.int32),
        sound=mx.array([SOUNDS.index(scene.sound) for scene in scenes], mx.int32),
        seed=mx.array([scene.seed for scene in scenes], mx.int32),
    )


def _choice(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    # Rounded so that a scene reads well in a log; the rounding is far below a pixel.
    return round(float(rng.uniform(low, high)), 4)


def _place(rng: np.random.Generator, motion: str, radius: float, share: float) -> dict[str, float]:
    """Position and motion parameters of a thing in the middle of its share (1 or 1/2) of the picture.

    The share is across the motion: a thing that moves sideways gets a band, one that moves
    upwards a column, so the direction of the motion always has the whole picture.
    """
    slack = max(0.0, 0.34 - radius) if share == 1 else 0.02
    across = _between(rng, 0.5 - slack, 0.5 + slack)
    if motion in ("right", "left", "up", "down"):
        start, extent = _between(rng, 0.22, 0.29), _between(rng, 0.36, 0.46)
        start = start if motion in ("right", "down") else round(1 - start, 4)
        if motion in ("right", "left"):
            return {"x": start, "y": across, "extent": extent}
        return {"x": across, "y": start, "extent": extent}
    if motion == "bounce":
        floor = round(_between(rng, 0.86, 0.92) - radius, 4)
        extent = _between(rng, 0.34, 0.42) if radius > 0.2 else _between(rng, 0.38, 0.5)
        period, phase = _between(rng, 0.9, 1.1), _between(rng, 0.35, 0.65)
        return {"x": across, "y": floor, "extent": extent, "period": period, "phase": phase}
    y = _between(rng, 0.5 - slack, 0.5 + slack) if share == 1 else _between(rng, 0.4, 0.6)
    if motion == "circle":
        extent = _between(rng, 0.19, 0.24) if share == 1 else 0.1
        middle = {"x": _between(rng, 0.47, 0.53), "y": _between(rng, 0.47, 0.53)} if share == 1 else {}
        period, phase = _between(rng, 2.4, 2.8), _between(rng, 0.0, 1.0)
        return {"x": across, "y": y, "extent": extent, "period": period, "phase": phase, **middle}
    if motion == "spin":
        return {"x": across, "y": y, "period": _between(rng, 3.4, 4.2)}
    return {"x": across, "y": y}


def _sample_sound(rng: np.random.Generator, motion: str, background: str) -> str:
    """A sound that belongs to what is seen, most of the time."""
    if motion == "bounce" and rng.random() < 0.6:
        return "pulse"
    if background in ("sea", "rain") and rng.random() < 0.5:
        return "noise"
    if motion in ("up", "grow") and rng.random() < 0.3:
        return "rising"
    if motion in ("down", "shrink") and rng.random() < 0.3:
        return "falling"
    return _choice(rng, ("silence", "low", "middle", "high", "rising", "falling"))


def _sample_colour(rng: np.random.Generator, *taken: str) -> str:
    return _choice(rng, [colour for colour in COLOURS if colour not in taken])


def sample_scene(rng: np.random.Generator) -> Scene:
    """One scene of the world; a quarter of them hold two things, apart from each other."""
    background = _choice(rng, BACKGROUNDS)
    two = rng.random() < 0.25
    motion = _choice(rng, MOTIONS)
    shapes = [shape for shape in SHAPES if not (motion == "spin" and shape in ROUND_SHAPES)]
    shape, colour = _choice(rng, shapes), _sample_colour(rng, background)
    size = _choice(rng, SIZES[:2] if two else SIZES)
    if two and motion in ("grow", "circle"):
        size = "small"
    share = 0.5 if two else 1.0
    first = Thing(shape, colour, size, motion, **_place(rng, motion, SIZE_RADIUS[size], share))
    things: tuple[Thing, ...] = (first,)
    if two:
        size = _choice(rng, SIZES[:2])
        colour = _sample_colour(rng, background, first.colour)
        shape = _choice(rng, [other for other in SHAPES if other != first.shape])
        second_motion = "spin" if rng.random() < 0.3 and shape not in ROUND_SHAPES else "still"
        spot = _place(rng, second_motion, SIZE_RADIUS[size], share)
        second = Thing(shape, colour, size, second_motion, **spot)
        things = _apart(first, second, first_leads=bool(rng.random() < 0.5))
    sound = _sample_sound(rng, motion, background)
    return Scene(things, background, sound, int(rng.integers(2**16)))


def _apart(first: Thing, second: Thing, first_leads: bool) -> tuple[Thing, Thing]:
    """Moves two things into the halves of the picture: above and below each other where the first
    one moves sideways, side by side otherwise."""
    axis = "y" if first.motion in ("right", "left") else "x"
    sign = -1 if first_leads else 1

    def shifted(thing: Thing, offset: float) -> Thing:
        place = {axis: round(0.5 + offset + (getattr(thing, axis) - 0.5) * 0.2, 4)}
        return Thing(**{**asdict(thing), **place})

    return shifted(first, 0.245 * sign), shifted(second, -0.245 * sign)
