"""How sharp pictures are: the strength of their edges against that of the world's own."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ltx_pocket.evaluate.judge import Case
from ltx_pocket.evaluate.makers import Maker, World
from ltx_pocket.evaluate.numbers import mean
from ltx_pocket.evaluate.parts import Series
from ltx_pocket.evaluate.sheet import ContactSheet

EDGES = 0.02
"""Part of a picture's pixels that are taken for its edges: those where it changes most."""


def edge_strength(frames: np.ndarray) -> float:
    """How much the edges (F, H, W, 3) of values up to 255 change from pixel to pixel, on average."""
    light = frames.astype(np.float32).mean(axis=-1)
    across, along = np.gradient(light, axis=(1, 2))
    change = np.hypot(across, along).reshape(len(frames), -1)
    count = max(1, round(EDGES * change.shape[1]))
    return float(np.partition(change, -count, axis=1)[:, -count:].mean())


def measure_sharpness(
    make: Maker, world: World, cases: Iterable[Case], sheet: ContactSheet
) -> dict[str, Any]:
    """Edges in per cent of those of the scenes that the prompts are for; plain JSON values."""
    series = Series(sheet)
    ratios: list[float | None] = []
    for case in cases:
        made = series.add(make, case)
        ratios.append(100 * edge_strength(made.frames) / edge_strength(world(case).frames))
    return {"numbers": {"edges, % of the true ones": mean(ratios)}, **series.summary()}
