"""Networks whose blocks are read from disk while they run, for machines that cannot hold all of them.

A network that was built lazily (`Checkpoint.build`, LoRAs, quantisation) holds promises to read its weights,
not the weights. Each walk through the blocks builds it anew and reads one block after the other, so that
whatever the weights went through, the numbers are those of the resident network to the bit.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten


class StreamedBlocks:
    """Stands for the list of a network's blocks: two are in memory, one that computes, one that is read.

    The network must evaluate its hidden states after every block (`eval_every` 1): a graph that was not
    evaluated keeps the weights that it needs. Reading runs on a stream of its own, beside the computation.

    Attributes:
        seconds_waited: how long walks had to wait for a block, of all walks so far.
        bytes_read: size of the blocks in memory, of all walks so far.
    """

    def __init__(self, build: Callable[[], Sequence[nn.Module]], length: int) -> None:
        """Nothing is read yet.

        Args:
            build: all blocks, lazily: none of their weights may be evaluated. Called for every walk.
            length: how many there are.
        """
        self.seconds_waited = 0.0
        self.bytes_read = 0
        self._build = build
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[nn.Module]:
        """The blocks with their weights. Each is emptied when the next one is asked for."""
        with mx.stream(_reader(str(mx.default_device()))):
            waiting = list(reversed(self._build()))
        upcoming = _start_reading(waiting)
        while upcoming is not None:
            block = upcoming
            started = time.perf_counter()
            mx.eval(block.parameters())
            self.seconds_waited += time.perf_counter() - started
            self.bytes_read += nbytes(block)
            upcoming = _start_reading(waiting)
            yield block
            # The caller still has it, and a third block is about to be read.
            block.clear()


@cache
def _reader(device: str) -> mx.Stream:
    """The stream that reads for the default device. One for all walks: streams are never freed."""
    return mx.new_stream(mx.default_device())


def _start_reading(waiting: list[nn.Module]) -> nn.Module | None:
    """The next block, while it is read; None after the last."""
    if not waiting:
        return None
    block = waiting.pop()
    for value in _values(block):
        # One by one: what a weight is made from on the way is gone before the next one is read.
        mx.async_eval(value)
    return block


class StreamedPart:
    """Stands for a part of a network: its weights are read for every call, and let go after it."""

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        """`build` gives the part, lazily."""
        self._build = build

    def __call__(self, *arguments: Any) -> Any:
        """What the part returns, evaluated."""
        result = self._build()(*arguments)
        mx.eval(result)
        return result


def stream(
    network: nn.Module,
    build: Callable[[], nn.Module],
    blocks: Sequence[str] = (),
    parts: Sequence[str] = (),
) -> None:
    """Let go of most weights of a network, none of which was evaluated, and read them when they are used.

    Args:
        network: what `build` gave; changed in place, and evaluating after every block from now on.
        build: the same network, lazily, with whatever its weights go through.
        blocks: where its lists of blocks are ("video_embeddings_connector.transformer_1d_blocks").
        parts: where parts are that are large and called once or twice in a run.
    """
    # Neither stand-in is a module, so the weights behind it are no parameters of the network any more.
    for path in blocks:
        parent, name = _parent(network, path)
        length = len(getattr(parent, name))
        setattr(parent, name, StreamedBlocks(partial(_part, build, path), length))
        parent.eval_every = 1
    for path in parts:
        parent, name = _parent(network, path)
        setattr(parent, name, StreamedPart(partial(_part, build, path)))


def _parent(network: Any, path: str) -> tuple[Any, str]:
    """The module that holds what a dotted path names, and its name there."""
    *parents, name = path.split(".")
    for parent in parents:
        network = getattr(network, parent)
    return network, name


def _part(build: Callable[[], nn.Module], path: str) -> Any:
    parent, name = _parent(build(), path)
    return getattr(parent, name)


def nbytes(module: nn.Module) -> int:
    """Size of a module's parameters in memory, evaluated or not."""
    return sum(value.nbytes for value in _values(module))


def _values(module: nn.Module) -> list[mx.array]:
    values: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
    return list(values.values())
