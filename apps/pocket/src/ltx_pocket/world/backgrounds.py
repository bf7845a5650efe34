"""The backgrounds: the same in every scene, so that a very small autoencoder can know them.

What moves repeats: rain every half second (eight frames at the native rate, one step of the
autoencoder's time), waves and twinkling every second.
"""

import math

import mlx.core as mx

from ltx_pocket.world.vocabulary import BACKGROUNDS

Colour = tuple[float, float, float]

PLAIN: dict[str, Colour] = {
    "black": (0.04, 0.04, 0.05),
    "white": (0.93, 0.93, 0.92),
    "grey": (0.50, 0.50, 0.51),
    "blue": (0.16, 0.25, 0.50),
    "green": (0.13, 0.33, 0.22),
}

HORIZON = 0.56

# Scattered by hand: no star near another, none in the very middle.
STARS = (
    (0.08, 0.12), (0.27, 0.07), (0.46, 0.16), (0.66, 0.06), (0.88, 0.13), (0.17, 0.33),
    (0.78, 0.30), (0.94, 0.45), (0.06, 0.58), (0.34, 0.48), (0.62, 0.50), (0.22, 0.76),
    (0.84, 0.70), (0.09, 0.92), (0.50, 0.86), (0.72, 0.93),
)  # fmt: skip


def _blend(low: Colour, high: Colour, share: mx.array) -> mx.array:
    """From low to high; share (...) gives (..., 3)."""
    first, second = mx.array(low), mx.array(high)
    return first + (second - first) * share[..., None]


def _night(x: mx.array, y: mx.array, time: mx.array, width: float, height: float) -> mx.array:
    result = _blend((0.03, 0.04, 0.13), (0.12, 0.13, 0.32), y / height + 0 * x)
    for number, (star_x, star_y) in enumerate(STARS):
        square = mx.square(x - star_x * width) + mx.square(y - star_y * height)
        twinkle = 0.75 + 0.15 * mx.sin(2 * math.pi * (time + number / 4))
        result = result + (twinkle * mx.exp(square * (-0.5 / 0.009**2)))[..., None]
    return mx.minimum(result, 1.0)


def _sea(x: mx.array, y: mx.array, time: mx.array, height: float) -> mx.array:
    level = y / height + 0 * x
    sky = _blend((0.56, 0.78, 0.95), (0.80, 0.90, 0.95), mx.minimum(level / HORIZON, 1.0))
    depth = mx.clip((level - HORIZON) / (1 - HORIZON), 0, 1)
    water = _blend((0.16, 0.50, 0.66), (0.03, 0.22, 0.42), depth)
    # Wave crests lie closer to each other towards the horizon.
    rows = 3.2 * mx.sqrt(depth + 0.02) + 0.10 * mx.sin(2 * math.pi * (1.5 * x + time)) + time
    crest = mx.square(0.5 + 0.5 * mx.sin(2 * math.pi * rows)) * mx.minimum(depth * 6, 1.0)
    water = water + crest[..., None] * mx.array((0.08, 0.11, 0.12))
    shore = mx.clip((level - HORIZON) * (height * 64) + 0.5, 0, 1)[..., None]
    return sky + (water - sky) * shore


def _grid(x: mx.array, y: mx.array, pixel: float) -> mx.array:
    def line(position: mx.array) -> mx.array:
        cell = position * 8 + 0.5
        away = mx.abs(cell - mx.floor(cell) - 0.5) / 8
        return mx.clip((0.0055 - away) / pixel + 0.5, 0, 1)

    return _blend((0.84, 0.78, 0.64), (0.56, 0.60, 0.64), mx.maximum(line(x - 1 / 16), line(y - 1 / 16)))


def _rain(x: mx.array, y: mx.array, time: mx.array, height: float) -> mx.array:
    result = _blend((0.30, 0.36, 0.42), (0.42, 0.49, 0.54), y / height + 0 * x)
    slanted = (x + 0.12 * y) * 9
    column = mx.floor(slanted)
    across = (slanted - column - 0.5) / 9
    offset = column * 0.381966
    fall = y * 1.5 - 2 * time + offset
    along = fall - mx.floor(fall) - 0.5
    drop = mx.exp(mx.square(across) * (-0.5 / 0.0065**2)) * mx.exp(mx.square(along) * (-0.5 / 0.09**2))
    return result + drop[..., None] * mx.array((0.34, 0.36, 0.38))


def background_bank(
    x: mx.array, y: mx.array, time: mx.array, width: float, height: float, pixel: float
) -> mx.array:
    """Every background, in the order of BACKGROUNDS: (K, F, H, W, 3).

    x (1, 1, W), y (1, H, 1) and pixel in units of the shorter side, which is also the unit of width
    and height (so the smaller of the two is 1); time (F, 1, 1) in seconds.
    """
    sky = _blend((0.34, 0.62, 0.93), (0.74, 0.88, 0.97), y / height + 0 * x)
    painted = {
        "sky": sky,
        "night": _night(x, y, time, width, height),
        "sea": _sea(x, y, time, height),
        "grid": _grid(x, y, pixel),
        "rain": _rain(x, y, time, height),
    }
    full = (time.shape[0], y.shape[1], x.shape[2], 3)
    return mx.stack(
        [
            mx.broadcast_to(painted[name] if name in painted else mx.array(PLAIN[name]), full)
            for name in BACKGROUNDS
        ]
    )


def render_backgrounds(height: int, width: int, num_frames: int, frame_rate: float) -> mx.array:
    """Every background without things, in the order of BACKGROUNDS: (K, F, H, W, 3) in [0, 1]."""
    pixel = 1 / min(height, width)
    x = ((mx.arange(width).astype(mx.float32) + 0.5) * pixel)[None, None, :]
    y = ((mx.arange(height).astype(mx.float32) + 0.5) * pixel)[None, :, None]
    time = (mx.arange(num_frames).astype(mx.float32) / frame_rate)[:, None, None]
    return background_bank(x, y, time, width * pixel, height * pixel, pixel)
