"""Rotary position embedding over several axes of real-valued positions (seconds, pixels).

Sources: RoFormer (arXiv 2104.09864) for the rotation; the reference's `model/transformer/rope.py` for the
frequencies. They cover the whole inner width, all heads together: heads own consecutive chunks of one list
that runs from low to high frequencies, with the axes interleaved (axis fastest). Angles reach 15708 rad, so
cosines and sines are evaluated on the host, where the range reduction is exact, once per distinct coordinate.
"""

import math
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

import mlx.core as mx
import numpy as np
from ltx_core.device import compiled
from ltx_core.errors import ShapeError

FreqsCis = tuple[mx.array, mx.array]


class LTXRopeType(Enum):
    """Which channels of a head rotate together: its two halves, or neighbours (a legacy layout)."""

    INTERLEAVED = "interleaved"
    SPLIT = "split"


@lru_cache(maxsize=16)
def generate_freq_grid(
    theta: float, n_axes: int, inner_dim: int, double_precision: bool = True
) -> np.ndarray:
    """Frequencies pi/2 * theta^(k / (n - 1)), k = 0..n-1, n = inner_dim // (2 n_axes), float32 (n,).

    `double_precision` says in which precision they are generated; older networks were trained with a grid
    that had float32's rounding errors in it.
    """
    n = inner_dim // (2 * n_axes)
    if double_precision:
        exponents = np.linspace(0.0, 1.0, n, dtype=np.float64)
        return (np.power(theta, exponents) * math.pi / 2).astype(np.float32)
    # From both ends inwards, as the reference's framework does: the rounding errors are part of the grid.
    step = np.float32(1.0 / max(n - 1, 1))
    index = np.arange(n, dtype=np.float32)
    exponents = np.where(index < n // 2, step * index, np.float32(1.0) - step * (n - 1 - index))
    grid = np.power(np.float32(theta), exponents.astype(np.float32), dtype=np.float32)
    return grid * np.float32(math.pi) / np.float32(2)


def _signed_fractions(
    positions: mx.array, max_pos: Sequence[float], use_middle_indices_grid: bool
) -> np.ndarray:
    """2 p / max - 1 for the middle (or start) p of each position: (B, axes, T) float32.

    The arithmetic is in the positions' own dtype, as in the reference.
    """
    with mx.stream(mx.cpu):
        if positions.ndim == 4:
            start, end = positions[..., 0], positions[..., 1]
            positions = (start + end) / 2.0 if use_middle_indices_grid else start
        limits = mx.array(list(max_pos), dtype=positions.dtype)[None, :, None]
        signed = positions / limits * 2 - 1
        return np.array(signed.astype(mx.float32))


def precompute_freqs_cis(
    positions: mx.array,
    dim: int,
    theta: float = 10000.0,
    max_pos: Sequence[float] = (20, 2048, 2048),
    use_middle_indices_grid: bool = True,
    num_attention_heads: int = 32,
    double_precision: bool = True,
) -> FreqsCis:
    """Cosines and sines of the rotation of every token, each (B, heads, T, dim / heads / 2) float32.

    The same table serves both rope types. If all samples have the same positions, B is 1 and broadcasts.

    Args:
        positions: (B, axes, T, 2) intervals [start, end), or (B, axes, T) points.
        dim: inner width, all heads together.
        max_pos: for each axis the position that stands for a full turn of the fractions.
        use_middle_indices_grid: rotate by the middle of the intervals, not by their start.
        double_precision: see `generate_freq_grid`.

    Raises:
        ShapeError: if the number of axes is not that of `max_pos`.
    """
    if positions.ndim not in (3, 4) or positions.shape[1] != len(max_pos):
        raise ShapeError(
            f"positions are {positions.shape}, expected (B, {len(max_pos)}, T) or (B, {len(max_pos)}, T, 2)"
        )
    signed = _signed_fractions(positions, max_pos, use_middle_indices_grid)
    if (signed == signed[:1]).all():
        signed = signed[:1]
    batch, n_axes, length = signed.shape
    grid = generate_freq_grid(theta, n_axes, dim, double_precision)

    # A clip has few distinct coordinates per axis: evaluate those, then gather on the device.
    cosines, sines = [], []
    for axis in range(n_axes):
        values, inverse = np.unique(signed[:, axis], return_inverse=True)
        angles = (values[:, None] * grid).astype(np.float64)
        index = mx.array(inverse.reshape(batch, length).astype(np.int32))
        cosines.append(mx.array(np.cos(angles).astype(np.float32))[index])
        sines.append(mx.array(np.sin(angles).astype(np.float32))[index])

    def to_heads(tables: list[mx.array], fill: float) -> mx.array:
        table = mx.stack(tables, axis=-1).reshape(batch, length, -1)
        missing = dim // 2 - table.shape[-1]
        if missing:
            table = mx.pad(table, [(0, 0), (0, 0), (missing, 0)], constant_values=fill)
        return table.reshape(batch, length, num_attention_heads, -1).transpose(0, 2, 1, 3)

    return to_heads(cosines, 1.0), to_heads(sines, 0.0)


@compiled
def _rotate(a: mx.array, b: mx.array, cos: mx.array, sin: mx.array) -> tuple[mx.array, mx.array]:
    return (a * cos - b * sin).astype(a.dtype), (b * cos + a * sin).astype(a.dtype)


def apply_rotary_emb(
    x: mx.array, freqs_cis: FreqsCis, rope_type: LTXRopeType = LTXRopeType.SPLIT
) -> mx.array:
    """Rotate pairs of channels (a, b) to (a cos - b sin, b cos + a sin), in float32.

    x: (B, heads, T, head size); the result has its shape and dtype.
    """
    if rope_type is LTXRopeType.SPLIT:
        a, b = mx.split(x, 2, axis=-1)
        return mx.concatenate(list(_rotate(a, b, *freqs_cis)), axis=-1)
    return mx.stack(list(_rotate(x[..., 0::2], x[..., 1::2], *freqs_cis)), axis=-1).reshape(x.shape)
