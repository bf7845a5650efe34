"""The parts that works have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
from ltx_core.device import default_dtype

from ltx_bench.configs import Config, load_config
from ltx_bench.items import Item
from ltx_bench.measure import Run


@dataclass(frozen=True)
class Setup:
    """What a whole run has in common.

    Attributes:
        scale: "full" or "tiny".
        dtype: of weights and activations.
    """

    scale: str = "full"
    dtype: mx.Dtype = field(default_factory=default_dtype)

    def config(self, item: Item) -> Config:
        """Of the item's version, at this scale."""
        return load_config(item.version, self.scale)


@dataclass(frozen=True)
class Work:
    """One item, ready to run.

    Attributes:
        run: does it once.
        flops: of a run, by formula; None: not counted.
        excluded: seconds so far that are no part of the work; None: all of it is.
        details: asked after the last run: what else is to be recorded.
    """

    run: Run
    flops: int | None = None
    excluded: Callable[[], float] | None = None
    details: Callable[[], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Prepared:
    """A network in memory.

    Attributes:
        work: from an item to what it does with the network.
        weights: bytes of the network.
    """

    work: Callable[[Item], Work]
    weights: int
