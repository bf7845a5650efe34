"""Shape and turn of a mask: its polar picture against those of the world's shapes, at every angle.

A thing that is out of focus has round corners, and a ring no hole: it is compared with shapes out of focus.
"""

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from ltx_pocket.world.shapes import distance
from ltx_pocket.world.vocabulary import SHAPES

RINGS, ANGLES = 24, 120
REACH = 2.1  # in units of the radius of the circle with the mask's area

BLURS = (0.0, 0.2, 0.4)
"""Standard deviations, in units of the shape's radius, of the shapes that masks are compared with."""

# After how many parts of a full turn a shape looks the same.
SYMMETRY = {"circle": 0, "ring": 0, "square": 4, "triangle": 3, "star": 5, "heart": 1, "cross": 4}


class Blob(NamedTuple):
    """A soft mask's moments, in pixels."""

    x: float
    y: float
    area: float


def blob(mask: np.ndarray) -> Blob | None:
    """Centre and area of a soft mask (H, W), pixel centres at half numbers; None if it is empty."""
    area = float(mask.sum())
    if area <= 0:
        return None
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    x = float((columns * (np.arange(len(columns)) + 0.5)).sum()) / area
    y = float((rows * (np.arange(len(rows)) + 0.5)).sum()) / area
    return Blob(x, y, area)


def _bilinear(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values at pixel coordinates, 0 outside."""
    wide = np.pad(picture, 1)
    x = np.clip(x + 0.5, 0, wide.shape[1] - 1.001)
    y = np.clip(y + 0.5, 0, wide.shape[0] - 1.001)
    left, top = x.astype(int), y.astype(int)
    dx, dy = x - left, y - top
    above = wide[top, left] * (1 - dx) + wide[top, left + 1] * dx
    below = wide[top + 1, left] * (1 - dx) + wide[top + 1, left + 1] * dx
    return above * (1 - dy) + below * dy


def polar(mask: np.ndarray, moments: Blob) -> np.ndarray:
    """(RINGS, ANGLES) around the centre, scaled by the area, with zero mean and unit norm.

    Angles run clockwise from the top.
    """
    radius = (np.arange(RINGS) + 0.5) / RINGS * REACH * np.sqrt(moments.area / np.pi)
    angle = np.arange(ANGLES) / ANGLES * 2 * np.pi
    x = moments.x + radius[:, None] * np.sin(angle)
    y = moments.y - radius[:, None] * np.cos(angle)
    # A ring of the grid stands for an area in proportion to its radius.
    weight = np.sqrt(np.arange(RINGS) + 0.5)[:, None]
    values = _bilinear(mask, x, y)
    values = (values - (values * weight**2).sum() / (weight**2).sum() / ANGLES) * weight
    return values / max(float(np.linalg.norm(values)), 1e-9)


@lru_cache(maxsize=1)
def _templates() -> np.ndarray:
    """Fourier transforms over the angle of every shape's polar picture at every blur:
    (len(BLURS), K, RINGS, ANGLES // 2 + 1)."""
    size = 97
    line = (np.arange(size) + 0.5) / size * 3 - 1.5
    x, y = mx.array(line[None, :].astype(np.float32)), mx.array(-line[:, None].astype(np.float32))
    pictures = []
    for blur in BLURS:
        for index in range(len(SHAPES)):
            mask = np.clip(0.5 - np.array(distance(mx.array(index), x, y)) * size / 3 / 3, 0, 1)
            mask = _blurred(mask, blur * size / 3) if blur else mask
            moments = blob(mask)
            assert moments is not None
            pictures.append(np.fft.rfft(polar(mask, moments), axis=1))
    return np.stack(pictures).reshape(len(BLURS), len(SHAPES), RINGS, -1)


def _blurred(mask: np.ndarray, deviation: float) -> np.ndarray:
    """A square mask out of focus, cut around half of its height as the masks of clips are."""
    frequency = np.fft.fftfreq(len(mask))
    falloff = np.exp(-2 * (np.pi * deviation * frequency) ** 2)
    soft = np.fft.ifft2(np.fft.fft2(mask) * falloff[:, None] * falloff[None, :]).real
    return np.clip(2 * soft / soft.max() - 0.5, 0, 1)


def matches(mask: np.ndarray, moments: Blob) -> tuple[np.ndarray, np.ndarray]:
    """For every shape: the best correlation over all turns (K,), and that at every turn (K, ANGLES).

    Each shape at the blur at which it is most like the mask.
    """
    spectrum = np.fft.rfft(polar(mask, moments), axis=1)
    products = (spectrum * np.conj(_templates())).sum(axis=2)
    curves = np.fft.irfft(products, n=ANGLES, axis=2)
    best = curves.max(axis=2)
    blur = best.argmax(axis=0)
    return best.max(axis=0), np.take_along_axis(curves, blur[None, :, None], axis=0)[0]


def total_turn(curves: list[np.ndarray], shape: str) -> float:
    """Degrees that a shape turned (clockwise) through a series of correlation curves (ANGLES,)."""
    order = SYMMETRY[shape]
    if order == 0 or len(curves) < 2:
        return 0.0
    step = 360.0 / order
    # The symmetric maxima tell the same; folding them together makes the estimate steadier.
    folded = [curve.reshape(order, ANGLES // order).sum(axis=0) for curve in curves]
    angles = [float(np.argmax(curve)) * 360 / ANGLES for curve in folded]
    turns = [(after - before + step / 2) % step - step / 2 for before, after in pairwise(angles)]
    return float(sum(turns))
