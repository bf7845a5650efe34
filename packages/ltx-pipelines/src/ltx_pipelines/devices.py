"""Several processes that make one clip, each with a device of its own."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

import mlx.core as mx

if TYPE_CHECKING:
    from ltx_models.transformer.token_division import TokenDivision


class Division(Enum):
    """What of the denoising is divided among processes; everything else all of them do.

    SPLIT: the passes of guided steps; each process has the whole transformer. Steps without guidance are no
        faster.
    TOKENS: the tokens of the video; each process has the whole transformer, and they meet in attention.
    SHARD: the transformer itself: each has a share of its weights, and they meet in every layer.
    """

    SPLIT = "split"
    TOKENS = "tokens"
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

    @cached_property
    def tokens(self) -> "TokenDivision":
        """Of the transformer, and of what of it is read while it runs: one for all."""
        from ltx_models.transformer.token_division import TokenDivision

        return TokenDivision(self.group)
