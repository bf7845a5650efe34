"""Scenes to pictures: distance fields, so that edges are smooth at any size."""

import mlx.core as mx

from ltx_pocket.world.backgrounds import background_bank
from ltx_pocket.world.motion import pose
from ltx_pocket.world.scene import MAX_THINGS, SceneBatch
from ltx_pocket.world.shapes import distance
from ltx_pocket.world.vocabulary import COLOUR_RGB, COLOURS


def render(batch: SceneBatch, height: int, width: int, num_frames: int, frame_rate: float) -> mx.array:
    """Pictures (B, F, H, W, 3), float32 in [0, 1]; frame f shows the moment f / frame_rate.

    Works under mx.compile with the sizes fixed (`mx.compile(lambda *b: render(SceneBatch(*b), ...))`).
    """
    shorter = min(height, width)
    pixel = 1 / shorter
    x = ((mx.arange(width).astype(mx.float32) + 0.5) * pixel)[None, None, :]
    y = ((mx.arange(height).astype(mx.float32) + 0.5) * pixel)[None, :, None]
    time = mx.arange(num_frames).astype(mx.float32) / frame_rate
    bank = background_bank(x, y, time[:, None, None], width * pixel, height * pixel, pixel)
    picture = bank[batch.background]
    for thing in reversed(range(MAX_THINGS)):
        picture = _paint(picture, batch, thing, x, y, time, width * pixel, height * pixel, pixel)
    return mx.clip(picture, 0, 1)


def _paint(
    picture: mx.array,
    batch: SceneBatch,
    thing: int,
    x: mx.array,
    y: mx.array,
    time: mx.array,
    width: float,
    height: float,
    pixel: float,
) -> mx.array:
    """Lays one thing of every scene over the pictures."""

    def spread(values: mx.array) -> mx.array:  # (B, F) or (B,) to (B, F, 1, 1)
        return values.reshape(*values.shape, *[1] * (4 - values.ndim))

    now = pose(batch, thing, time)
    present = batch.radius[:, thing] > 0
    radius = spread(mx.where(present, batch.radius[:, thing], 1.0)) * spread(now.scale)
    right = (x[None] - spread(now.x * width + now.orbit_x)) / radius
    up = (spread(now.y * height + now.orbit_y) - y[None]) / radius
    cos, sin = spread(mx.cos(now.angle)), spread(mx.sin(now.angle))
    away = distance(spread(batch.shape[:, thing]), right * cos - up * sin, right * sin + up * cos)

    softness = pixel / radius
    cover = mx.clip(0.5 - away / softness, 0, 1) * spread(present.astype(mx.float32))
    # Light from the upper left, and a darker rim that keeps every colour apart from every background.
    light = 0.93 + 0.13 * mx.tanh(up - 0.6 * right)
    rim = mx.clip((away + 0.10) / mx.maximum(0.08, 2 * softness), 0, 1)
    shade = light * (1 - 0.42 * rim)
    palette = mx.array([COLOUR_RGB[name] for name in COLOURS])
    colour = palette[batch.colour[:, thing]][:, None, None, None, :]
    highlight = 0.14 * mx.exp(-4.5 * (mx.square(right + 0.32) + mx.square(up - 0.36))) * (1 - rim)
    painted = colour * shade[..., None] + highlight[..., None]
    return picture + (painted - picture) * cover[..., None]
