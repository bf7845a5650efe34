"""How things are drawn: solid, or white-hot inside with their colour around them."""

import numpy as np

from ltx_pocket.world.detectors.regions import find_background, find_things, foreground, reduced

FRAMES = 5
COLOURLESS = 0.2
"""Of things whose strongest colour is less, such as white ones, the style cannot be told."""
PALE = 0.8
"""Part of its strongest colour that a neon thing has in its middle, at most; a solid one has nearly all."""


def is_neon(video: np.ndarray, frame_rate: float) -> bool | None:
    """Whether the things of a clip (F, H, W, 3) of floats in [0, 1] are drawn as `render` draws "neon" ones.

    None where there is nothing with a colour.
    """
    small = reduced(np.asarray(video, np.float32))
    _, empty = find_background(small, frame_rate)
    away, threshold = foreground(small, empty)
    ratios = []
    for area in find_things(away, threshold)[:2]:
        for frame in np.linspace(0, len(small) - 1, FRAMES).round().astype(int):
            found = profile(small[frame], (away[frame] > threshold) & area)
            if len(found) and found.max() > COLOURLESS:
                ratios.append(found[-1] / found.max())
    return bool(np.median(ratios) < PALE) if ratios else None


def profile(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """How strong the colours (H, W, 3) are in a mask, from its border to its middle; empty for small ones.

    The strength of a colour is the difference of its channels.
    """
    strength = picture.max(axis=-1) - picture.min(axis=-1)
    depth, left = np.zeros(mask.shape, int), mask
    while left.any():
        depth += left
        wide = np.pad(left, 1)
        left = left & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    deepest = int(depth.max())
    if deepest < 3:
        return np.zeros(0)
    # The middle is more than a single pixel.
    depth = np.minimum(depth, max(2, round(0.8 * deepest)))
    return np.array([strength[depth == level].mean() for level in range(1, int(depth.max()) + 1)])
