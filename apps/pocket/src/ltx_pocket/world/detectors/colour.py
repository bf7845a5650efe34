"""The name of a colour."""

import numpy as np

from ltx_pocket.world.vocabulary import COLOUR_RGB, COLOURS


def _lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) in [0, 1] to CIE L*a*b* (D65)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((np.maximum(rgb, 0) + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    ratio = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    bent = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    x, y, z = bent[..., 0], bent[..., 1], bent[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


_PALETTE = _lab(np.array([COLOUR_RGB[name] for name in COLOURS]))


def name_colour(pixels: np.ndarray) -> str:
    """The nearest colour of the world to the median of pixels (N, 3); lightness counts half, for shading."""
    difference = _PALETTE - _lab(np.median(pixels, axis=0))
    return COLOURS[int(np.argmin((difference**2 * np.array([0.25, 1.0, 1.0])).sum(axis=-1)))]
