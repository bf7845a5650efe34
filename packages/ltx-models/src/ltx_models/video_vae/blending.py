"""Running a network on tiles and blending what comes out, with no more in memory than the overlaps need."""

from collections.abc import Callable, Iterator

import mlx.core as mx

from ltx_models.video_vae.tile_grid import AxisTile, TileGrid, blend_weights

Coordinates = tuple[slice, slice, slice]


def _length(tiles: list[AxisTile]) -> int:
    return int(tiles[-1].target.stop)


def blend_in_space(
    grid: TileGrid, time: AxisTile, run: Callable[[Coordinates], mx.array], dtype: mx.Dtype
) -> mx.array:
    """Everything that one temporal tile writes, (B, C, F, H, W), blended in height and width.

    Args:
        grid: the tiles.
        time: the temporal one of them.
        run: from (time, height, width) slices of the input to the network's output there.
        dtype: of the result; weighted in float32.
    """
    canvas: mx.array | None = None
    for row, row_weight in zip(grid.height, blend_weights(grid.height), strict=True):
        for column, column_weight in zip(grid.width, blend_weights(grid.width), strict=True):
            output = run((time.source, row.source, column.source))
            if len(grid.height) == len(grid.width) == 1:
                return output.astype(dtype)
            if canvas is None:
                shape = (*output.shape[:3], _length(grid.height), _length(grid.width))
                canvas = mx.zeros(shape, dtype)
            there = (..., row.target, column.target)
            weight = mx.array(row_weight[:, None] * column_weight)
            # Two evaluations: with nothing else holding the canvas, the second one writes in place.
            blended = canvas[there] + (output.astype(mx.float32) * weight).astype(dtype)
            mx.eval(blended)
            del output
            canvas[there] = blended
            mx.eval(canvas)
    assert canvas is not None  # a grid has at least one tile
    return canvas


def stream_tiles(
    grid: TileGrid, run: Callable[[Coordinates], mx.array], dtype: mx.Dtype
) -> Iterator[mx.array]:
    """The network's output in chunks (B, C, f, H, W) that follow each other in time.

    A chunk comes as soon as no later tile can change it; one temporal tile and one overlap are in memory.
    A chunk may be empty (f = 0): where a second tile starts with the first one.
    """
    overlap: mx.array | None = None
    weights = blend_weights(grid.time)
    for index, (tile, weight) in enumerate(zip(grid.time, weights, strict=True)):
        chunk = blend_in_space(grid, tile, run, dtype)
        if len(grid.time) > 1:
            chunk = (chunk * mx.array(weight)[:, None, None]).astype(dtype)
        if overlap is not None:
            shared = overlap.shape[2]
            chunk = mx.concatenate([chunk[:, :, :shared] + overlap, chunk[:, :, shared:]], axis=2)
        if index + 1 == len(grid.time):
            mx.eval(chunk)
            yield chunk
            return
        final = grid.time[index + 1].target.start - tile.target.start
        # Copies, so that the whole chunk does not live on behind the slice that the next round needs.
        done, overlap = mx.contiguous(chunk[:, :, :final]), mx.contiguous(chunk[:, :, final:])
        mx.eval(done, overlap)
        del chunk
        yield done
