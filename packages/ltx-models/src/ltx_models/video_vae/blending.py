"""Running a network on tiles and blending what comes out, with no more in memory than the overlaps need."""

from collections.abc import Callable, Iterator
from types import EllipsisType

import mlx.core as mx
import numpy as np

from ltx_models.video_vae.tile_grid import TileGrid, blend_weights

Coordinates = tuple[slice, slice, slice]


def _add(canvas: mx.array, there: tuple[slice | EllipsisType, ...], value: mx.array) -> None:
    """canvas[there] += value, in place: evaluated in two steps, after which nothing else holds the canvas."""
    total = canvas[there] + value
    mx.eval(total)
    canvas[there] = total
    mx.eval(canvas)


def blend_in_space(
    grid: TileGrid,
    time: slice,
    time_weight: np.ndarray,
    run: Callable[[Coordinates], mx.array],
    dtype: mx.Dtype,
) -> mx.array:
    """What one temporal tile contributes, (B, C, F, H, W), evaluated.

    Args:
        grid: the tiles.
        time: what the temporal tile takes from the input.
        time_weight: its weights, (F,).
        run: from (time, height, width) slices of the input to the network's output there.
        dtype: of the result; the weighting itself is in float32.
    """
    canvas: mx.array | None = None
    for row, row_weight in zip(grid.height, blend_weights(grid.height), strict=True):
        for column, column_weight in zip(grid.width, blend_weights(grid.width), strict=True):
            output = run((time, row.source, column.source))
            if len(grid.time) == len(grid.height) == len(grid.width) == 1:
                canvas = output.astype(dtype)
                mx.eval(canvas)
                return canvas
            weight = mx.array(time_weight[:, None, None] * row_weight[:, None] * column_weight)
            output = (output.astype(mx.float32) * weight).astype(dtype)
            if canvas is None:
                height, width = grid.height[-1].target.stop, grid.width[-1].target.stop
                canvas = mx.zeros((*output.shape[:3], height, width), dtype)
            _add(canvas, (..., row.target, column.target), output)
            del output  # not beside the next tile's activations
    assert canvas is not None  # a grid has at least one tile
    return canvas


def stream_tiles(
    grid: TileGrid, run: Callable[[Coordinates], mx.array], dtype: mx.Dtype
) -> Iterator[mx.array]:
    """The network's output in evaluated chunks (B, C, f, H, W) that follow each other in time.

    A chunk comes as soon as no later tile can change it; only what the next tile overlaps is kept.
    A chunk may be empty (f = 0): where a second tile starts with the first one.
    """
    starts = [tile.target.start for tile in grid.time[1:]]
    weights = blend_weights(grid.time)
    overlap: mx.array | None = None
    for tile, weight, next_start in zip(grid.time, weights, [*starts, None], strict=True):
        chunk = blend_in_space(grid, tile.source, weight, run, dtype)
        if overlap is not None:
            _add(chunk, (slice(None), slice(None), slice(overlap.shape[2])), overlap)
        if next_start is None:
            yield chunk
            return
        final = next_start - tile.target.start
        # Copies: a slice would keep the whole chunk in memory.
        overlap, chunk = mx.contiguous(chunk[:, :, final:]), mx.contiguous(chunk[:, :, :final])
        mx.eval(overlap, chunk)
        yield chunk
        del chunk  # not while the next one is computed
