"""Fitting images and frames to the size of a clip, and to the range that the video encoder takes."""

import math

import numpy as np
from ltx_core.errors import ShapeError


def _sources(size: int, resized: int, start: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For `count` positions from `start` on of an axis resized from `size` to `resized`: the two source
    positions around each, and the weight of the second. Pixel centres at halves; edges repeat."""
    positions = (np.arange(start, start + count, dtype=np.float32) + 0.5) * np.float32(size / resized) - 0.5
    positions = np.maximum(positions, 0)
    low = np.minimum(positions.astype(np.int64), size - 1)
    return low, np.minimum(low + 1, size - 1), (positions - low).astype(np.float32)


def resize_and_center_crop(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale until the target is covered, keeping the aspect, then cut out its middle.

    Bilinear without antialiasing. Only what remains after the cut is computed.

    Args:
        frames: (H, W, C) or (F, H, W, C), values 0 to 255 of any dtype.
        height, width: of the target.

    Returns:
        (1, C, F, height, width) float32 in the range of the input; F is 1 for an image.

    Raises:
        ShapeError: other axes, or an empty picture or target.
    """
    if frames.ndim == 3:
        frames = frames[None]
    if frames.ndim != 4 or 0 in frames.shape or min(height, width) < 1:
        raise ShapeError(
            f"expected (H, W, C) or (F, H, W, C) and a target size, got {frames.shape} for {height} x {width}"
        )
    _, from_height, from_width, _ = frames.shape
    scale = max(height / from_height, width / from_width)
    # Rounded up, so that the resized picture is never a pixel smaller than the target.
    scaled_height, scaled_width = math.ceil(from_height * scale), math.ceil(from_width * scale)
    top, left = (scaled_height - height) // 2, (scaled_width - width) // 2
    above, below, row_weight = _sources(from_height, scaled_height, top, height)
    before, after, column_weight = _sources(from_width, scaled_width, left, width)
    row_weight, column_weight = row_weight[:, None, None], column_weight[:, None]
    count, channels = frames.shape[0], frames.shape[-1]
    out = np.empty((1, channels, count, height, width), np.float32)
    for index, frame in enumerate(frames):  # one at a time: the rows in between are as wide as the source
        rows = frame[above] * (1 - row_weight) + frame[below] * row_weight
        picture = rows[:, before] * (1 - column_weight) + rows[:, after] * column_weight
        out[0, :, index] = picture.transpose(2, 0, 1)
    return out


def normalize_images(images: np.ndarray) -> np.ndarray:
    """0 ... 255 to the encoder's -1 ... 1."""
    return (images / np.float32(127.5) - np.float32(1)).astype(np.float32)
