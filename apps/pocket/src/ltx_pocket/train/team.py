"""Several processes, one for each GPU, that train the same weights on batches of their own.

Environment of each process on CUDA: MLX_RANK, MLX_WORLD_SIZE, NCCL_HOST_IP, NCCL_PORT and, for its GPU,
CUDA_VISIBLE_DEVICES. On a CPU: MLX_RANK and MLX_HOSTFILE, `[["127.0.0.1:9000"], ["127.0.0.1:9001"]]` in it.
"""

import os
from collections.abc import Sequence
from typing import cast

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from ltx_core.device import backend


class Team:
    """The processes of a training.

    Attributes:
        rank: of this one; the first one writes the files.
        size: how many there are.
    """

    def __init__(self, group: "mx.distributed.Group | None" = None) -> None:
        self.group = group
        self.rank = group.rank() if group else 0
        self.size = group.size() if group else 1

    @staticmethod
    def join() -> "Team":
        """Meet the other processes, if the environment says that there are some."""
        if "MLX_RANK" not in os.environ:
            return ALONE
        kind = "ring" if backend() == "cpu" else "nccl"
        return Team(mx.distributed.init(strict=True, backend=kind))

    def means(self, arrays: Sequence[mx.array]) -> list[mx.array]:
        """Means over all processes."""
        if self.size == 1:
            return list(arrays)
        # One message: several might leave in another order elsewhere.
        total = mx.distributed.all_sum(
            mx.concatenate([array.flatten() for array in arrays]), group=self.group
        )
        ends = np.cumsum([array.size for array in arrays]).tolist()
        parts = mx.split(total / self.size, ends[:-1])
        return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]

    def agreed(self, value: float) -> float:
        """The first process's number. All of them must ask; they wait for each other."""
        if self.size == 1:
            return value
        own = mx.array(value if self.rank == 0 else 0.0)
        return cast(float, mx.distributed.all_sum(own, group=self.group).item())


ALONE = Team()
