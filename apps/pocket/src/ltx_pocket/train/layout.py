"""Where each weight of a network stands in a few large arrays."""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from ltx_pocket.train.files import flat

Wanted = Callable[[str, mx.array], bool]


class Layout:
    """Weights in a few large arrays: an optimiser then has a few things to do, not hundreds, each of which
    would be a kernel of its own. Most stand one after the other in long arrays, the chunks; those whose
    optimiser looks at whole matrices in stacks, one for each shape.

    Args:
        tree: arrays by name; only their shapes are kept.
        stacked: which of them stand in stacks.
    """

    CHUNK = 3 * 2**20
    ALIGNMENT = 16

    def __init__(self, tree: dict[str, Any], stacked: Wanted = lambda *_: False) -> None:
        # (name, shape, padding): matrix products want their operands at round addresses.
        self.chunks: list[list[tuple[str, tuple[int, ...], int]]] = [[]]
        self.stacks: dict[tuple[int, ...], list[str]] = {}
        room = self.CHUNK
        for name, value in flat(tree):
            if stacked(name, value):
                self.stacks.setdefault(value.shape, []).append(name)
                continue
            padding = -value.size % self.ALIGNMENT
            if value.size + padding > room and self.chunks[-1]:
                self.chunks.append([])
                room = self.CHUNK
            room -= value.size + padding
            self.chunks[-1].append((name, value.shape, padding))
        self.names = [name for chunk in self.chunks for name, _, _ in chunk]
        self.names += [name for names in self.stacks.values() for name in names]

    @property
    def parameters(self) -> int:
        """How many numbers there are."""
        flat_sizes = [math.prod(shape) for chunk in self.chunks for _, shape, _ in chunk]
        return sum(flat_sizes) + sum(math.prod(shape) * len(names) for shape, names in self.stacks.items())

    def join(self, arrays: Sequence[mx.array]) -> list[mx.array]:
        """The large arrays, chunks before stacks, of arrays in the order of `names`; float32."""
        values = iter(arrays)
        result = []
        for chunk in self.chunks:
            pieces: list[mx.array] = []
            for _, _, padding in chunk:
                pieces.append(next(values).flatten())
                if padding:
                    pieces.append(mx.zeros(padding, pieces[-1].dtype))
            result.append(mx.concatenate(pieces).astype(mx.float32))
        result += [
            mx.stack([next(values) for _ in names]).astype(mx.float32) for names in self.stacks.values()
        ]
        return result

    def split(self, large: Sequence[mx.array]) -> list[mx.array]:
        """The network's arrays in the order of `names`, parts of the large ones.

        Take gradients by these, not by the large arrays: that of every slice would be as long as the whole.
        """
        arrays = []
        for array, entries in zip(large, self.chunks, strict=False):
            start = 0
            for _, shape, padding in entries:
                size = math.prod(shape)
                arrays.append(array[start : start + size].reshape(shape))
                start += size + padding
        for array, names in zip(large[len(self.chunks) :], self.stacks.values(), strict=True):
            arrays += [array[index] for index in range(len(names))]
        return arrays

    def optimised(self, large: Sequence[mx.array]) -> dict[str, list[mx.array]]:
        """The large arrays as optimisers see them, by their kind."""
        kinds = {"chunks": list(large[: len(self.chunks)])}
        return kinds | ({"stacks": list(large[len(self.chunks) :])} if self.stacks else {})

    def tree(self, large: Sequence[mx.array]) -> dict[str, Any]:
        """The tree that the large arrays hold."""
        return cast(dict[str, Any], tree_unflatten(list(zip(self.names, self.split(large), strict=True))))

    def places(self, model: nn.Module) -> list[tuple[Any, Any]]:
        """Where a network keeps its arrays: containers and keys, in the order of `names`."""
        found = []
        for name in self.names:
            *path, last = [int(part) if part.isdecimal() else part for part in name.split(".")]
            container: Any = model
            for part in path:
                container = container[part]
            found.append((container, last))
        return found
