"""Several processes that make one clip together, each with a device of its own, through `mx.distributed`.

All of them run the same program on the same inputs; rank 0 speaks for them.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import mlx.core as mx
import numpy as np

from ltx_core.errors import ConfigError

Group = mx.distributed.Group
"""Processes that `join` each other."""

T = TypeVar("T")

# What launchers say to each process, and how it then reaches the others; `mlx.launch` also uses `mpirun`.
BACKENDS = {
    "NCCL_HOST_IP": "nccl",
    "MLX_JACCL_COORDINATOR": "jaccl",
    "MLX_HOSTFILE": "ring",
    "OMPI_COMM_WORLD_SIZE": "mpi",
}


def join() -> Group | None:
    """The processes that this one was started with, by `mlx.launch` or `mpirun`; None: it is alone.

    Waits for all of them, the first time.

    Raises:
        ConfigError: they cannot be reached.
    """
    backend = next((name for variable, name in BACKENDS.items() if variable in os.environ), None)
    if backend is None or not {"MLX_RANK", "OMPI_COMM_WORLD_RANK"} & os.environ.keys():
        return None
    if backend == "ring" and _is_empty(os.environ["MLX_HOSTFILE"]):
        return None
    try:
        group = mx.distributed.init(strict=True, backend=backend)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"this process was started as one of several, but cannot reach the others by {backend}: {error}"
        ) from None
    return group if group.size() > 1 else None


def _is_empty(hosts: str) -> bool:
    """Whether a list of hosts is empty: `mlx.launch -n 1` writes such a file."""
    path = Path(hosts)
    return path.is_file() and not path.read_text(encoding="utf-8").strip()


def everyones(number: int, group: Group) -> list[int]:
    """An integer of every process, of 32 bits, by rank. Waits for all of them."""
    numbers = mx.distributed.all_gather(mx.array([number], mx.int32), group=group)
    return [int(each) for each in numbers]


def own_items(items: Sequence[T], group: Group) -> Sequence[T]:
    """Every how-many-eth of some items this process works on; one that another has, too, if there are fewer
    items than processes."""
    return items[group.rank() :: group.size()] or [items[group.rank() % len(items)]]


def gather_items(own: Sequence[Sequence[mx.array]], count: int, group: Group) -> list[list[mx.array]]:
    """What all processes made of their items (`own_items`), in the order of these.

    Args:
        own: lists of arrays, one array for each of this process's items; those of a list have one shape and
            dtype.
        count: how many items there are.

    Returns:
        The same lists, with an array for every item.
    """
    size = group.size()
    most = -(-count // size)
    padded = [array for arrays in own for array in [*arrays, *([arrays[-1]] * (most - len(arrays)))]]
    # One message: several might leave in another order elsewhere.
    message = mx.concatenate([array.flatten() for array in padded])
    rows = mx.distributed.all_gather(message[None], group=group)
    ends = np.cumsum([array.size for array in padded])[:-1].tolist()
    parts = mx.split(rows, ends, axis=1)
    return [
        [
            parts[index * most + item // size][item % size].reshape(arrays[0].shape).astype(arrays[0].dtype)
            for item in range(count)
        ]
        for index, arrays in enumerate(own)
    ]
