"""Signed distances to the outlines of the shapes (negative inside), for circumscribed radius 1.

The formulas are the usual planar ones: fold the plane along the shape's symmetries, then measure
to one segment. Coordinates: x to the right, y upwards.
"""

import math

import mlx.core as mx

from ltx_pocket.world.vocabulary import SHAPES


def _segment(x: mx.array, y: mx.array, bx: float, by: float) -> mx.array:
    """Distance to the segment from the origin to (bx, by)."""
    along = mx.clip((x * bx + y * by) / (bx * bx + by * by), 0, 1)
    return mx.sqrt(mx.square(x - bx * along) + mx.square(y - by * along))


def _box(x: mx.array, y: mx.array, half_width: float, half_height: float) -> mx.array:
    """x, y already folded into the first quadrant."""
    dx, dy = x - half_width, y - half_height
    outside = mx.sqrt(mx.square(mx.maximum(dx, 0)) + mx.square(mx.maximum(dy, 0)))
    return outside + mx.minimum(mx.maximum(dx, dy), 0)


def _fan(x: mx.array, y: mx.array, angle_of_fold: mx.array, corners: int, inner: float) -> mx.array:
    """A star polygon: outer corners on radius 1, inner corners on radius `inner`, one corner at the top."""
    half = math.pi / corners
    length = mx.sqrt(x * x + y * y)
    folded = mx.abs(angle_of_fold - 2 * half * mx.floor(angle_of_fold / (2 * half) + 0.5))
    u, v = length * mx.sin(folded), length * mx.cos(folded)
    bx, by = inner * math.sin(half), inner * math.cos(half) - 1
    distance = _segment(u, v - 1, bx, by)
    return mx.where(u * by - (v - 1) * bx > 0, -distance, distance)


def _heart(x: mx.array, y: mx.array) -> mx.array:
    """Two arcs and a corner; x folded to positive. Unit heart: corner at (0, 0), lobes up to y = 1.1."""
    lobe = mx.sqrt(mx.square(x - 0.25) + mx.square(y - 0.75)) - math.sqrt(2) / 4
    to_notch = mx.sqrt(mx.square(x) + mx.square(y - 1))
    along = 0.5 * mx.maximum(x + y, 0)
    to_side = mx.sqrt(mx.square(x - along) + mx.square(y - along))
    below = mx.where(x > y, 1.0, -1.0) * mx.minimum(to_notch, to_side)
    return mx.where(x + y > 1, lobe, below)


def distance(shape: mx.array, x: mx.array, y: mx.array) -> mx.array:
    """Distance at (x, y) to the shape of each index into SHAPES; the arrays broadcast."""
    ax, ay = mx.abs(x), mx.abs(y)
    length = mx.sqrt(x * x + y * y)
    angle = mx.arctan2(x, y)
    fields = {
        "circle": length - 0.92,
        "square": _box(ax, ay, 0.70, 0.70) - 0.08,
        "triangle": _fan(x, y + 0.12, mx.arctan2(x, y + 0.12), 3, 0.5) - 0.05,
        "star": _fan(x, y, angle, 5, 0.45) - 0.05,
        "heart": _heart(ax / 1.5, y / 1.5 + 0.56) * 1.5 - 0.06,
        "ring": mx.abs(length - 0.72) - 0.24,
        "cross": mx.minimum(_box(ax, ay, 0.84, 0.24), _box(ax, ay, 0.24, 0.84)) - 0.06,
    }
    result = fields[SHAPES[0]]
    for index, name in enumerate(SHAPES[1:], start=1):
        result = mx.where(shape == index, fields[name], result)
    return result
