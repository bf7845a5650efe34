"""Several processes that make one clip, each with a device of its own."""

from dataclasses import dataclass
from enum import Enum

import mlx.core as mx


class Division(Enum):
    """What of the denoising is divided among processes; everything else all of them do.

    SPLIT: the passes of guided steps; each process has the whole transformer. Steps without guidance are no
        faster.
    SHARD: the transformer itself: each has a share of its weights, and they meet in every layer.
    """

    SPLIT = "split"
    SHARD = "shard"


@dataclass(frozen=True, eq=False)
class Devices:
    """The processes, and what they divide. All of them make the same calls with the same arguments.

    Attributes:
        group: see `ltx_core.ranks.join`.
        division: of the work.
    """

    group: mx.distributed.Group
    division: Division
