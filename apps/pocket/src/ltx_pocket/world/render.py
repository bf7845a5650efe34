"""Scenes to pictures: distance fields, so that edges are smooth at any size."""

from typing import Literal, NamedTuple

import mlx.core as mx

from ltx_pocket.world.backgrounds import background_bank
from ltx_pocket.world.motion import pose
from ltx_pocket.world.scene import MAX_THINGS, SceneBatch
from ltx_pocket.world.shapes import distance
from ltx_pocket.world.vocabulary import COLOUR_RGB, COLOURS

Style = Literal["plain", "neon"]
"""How things are drawn: plain ones are solid, neon ones white-hot inside with a glow of their colour."""


class _Canvas(NamedTuple):
    """Where pixels and frames are; lengths in units of the shorter side."""

    x: mx.array  # (1, 1, W)
    y: mx.array  # (1, H, 1)
    time: mx.array  # (F,) seconds
    width: float
    height: float
    pixel: float


class _Field(NamedTuple):
    """One thing of every scene, (B, F, H, W): coordinates in units of its radius, and signed distances."""

    right: mx.array
    up: mx.array
    away: mx.array  # from the outline, negative inside
    softness: mx.array  # a pixel in the same units, (B, F, 1, 1)
    present: mx.array  # 0 or 1, (B, 1, 1, 1)

    @property
    def inside(self) -> mx.array:
        """How much of every pixel is covered."""
        return mx.clip(0.5 - self.away / self.softness, 0, 1) * self.present


def render(
    batch: SceneBatch, height: int, width: int, num_frames: int, frame_rate: float, style: Style = "plain"
) -> mx.array:
    """Pictures (B, F, H, W, 3), float32 in [0, 1]; frame f shows the moment f / frame_rate.

    Works under mx.compile with the sizes fixed (`mx.compile(lambda *b: render(SceneBatch(*b), ...))`).
    """
    canvas = _canvas(height, width, num_frames, frame_rate)
    bank = background_bank(
        canvas.x, canvas.y, canvas.time[:, None, None], canvas.width, canvas.height, canvas.pixel
    )
    picture = bank[batch.background]
    draw = {"plain": _solid, "neon": _neon}[style]
    palette = mx.array([COLOUR_RGB[name] for name in COLOURS])
    for thing in reversed(range(MAX_THINGS)):
        colour = palette[batch.colour[:, thing]][:, None, None, None, :]
        painted, cover = draw(_field(batch, thing, canvas), colour)
        picture = picture + (painted - picture) * cover[..., None]
    return mx.clip(picture, 0, 1)


def silhouettes(batch: SceneBatch, height: int, width: int, num_frames: int, frame_rate: float) -> mx.array:
    """The first thing of every scene in white on black; sizes as in `render`."""
    cover = _field(batch, 0, _canvas(height, width, num_frames, frame_rate)).inside
    return mx.broadcast_to(cover[..., None], (*cover.shape, 3))


def _canvas(height: int, width: int, num_frames: int, frame_rate: float) -> _Canvas:
    pixel = 1 / min(height, width)
    x = ((mx.arange(width).astype(mx.float32) + 0.5) * pixel)[None, None, :]
    y = ((mx.arange(height).astype(mx.float32) + 0.5) * pixel)[None, :, None]
    time = mx.arange(num_frames).astype(mx.float32) / frame_rate
    return _Canvas(x, y, time, width * pixel, height * pixel, pixel)


def _field(batch: SceneBatch, thing: int, canvas: _Canvas) -> _Field:
    def spread(values: mx.array) -> mx.array:  # (B, F) or (B,) to (B, F, 1, 1)
        return values.reshape(*values.shape, *[1] * (4 - values.ndim))

    now = pose(batch, thing, canvas.time)
    present = batch.radius[:, thing] > 0
    radius = spread(mx.where(present, batch.radius[:, thing], 1.0)) * spread(now.scale)
    right = (canvas.x[None] - spread(now.x * canvas.width + now.orbit_x)) / radius
    up = (spread(now.y * canvas.height + now.orbit_y) - canvas.y[None]) / radius
    cos, sin = spread(mx.cos(now.angle)), spread(mx.sin(now.angle))
    away = distance(spread(batch.shape[:, thing]), right * cos - up * sin, right * sin + up * cos)
    return _Field(right, up, away, canvas.pixel / radius, spread(present.astype(mx.float32)))


def _solid(field: _Field, colour: mx.array) -> tuple[mx.array, mx.array]:
    """Colours (B, F, H, W, 3) and how much they cover."""
    right, up = field.right, field.up
    # Light from the upper left, and a darker rim that keeps every colour apart from every background.
    light = 0.93 + 0.13 * mx.tanh(up - 0.6 * right)
    rim = mx.clip((field.away + 0.10) / mx.maximum(0.08, 2 * field.softness), 0, 1)
    shade = light * (1 - 0.42 * rim)
    highlight = 0.14 * mx.exp(-4.5 * (mx.square(right + 0.32) + mx.square(up - 0.36))) * (1 - rim)
    return colour * shade[..., None] + highlight[..., None], field.inside


def _neon(field: _Field, colour: mx.array) -> tuple[mx.array, mx.array]:
    """The same. Lines would be finer than what a small autoencoder keeps; a glow is not."""
    core = 0.75 * mx.clip(field.away / -0.25, 0, 1)[..., None]
    glow = 0.75 * mx.exp(-mx.square(mx.maximum(field.away, 0) / 0.4)) * field.present
    return colour + (1 - colour) * core, mx.maximum(field.inside, glow)
