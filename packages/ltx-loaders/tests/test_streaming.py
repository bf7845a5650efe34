"""Networks whose blocks are read while they run: the numbers of resident ones, and never all of them."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_loaders.streaming import StreamedBlocks, nbytes, stream
from mlx.utils import tree_flatten

WIDTH = 16


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def __call__(self, x: mx.array) -> mx.array:
        return x + mx.tanh(self.linear(x))


class Network(nn.Module):
    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.eval_every = 0
        self.embed = nn.Embedding(5, WIDTH)
        self.inner = [Block() for _ in range(blocks)]
        self.out = nn.Linear(WIDTH, 3)

    def __call__(self, ids: mx.array) -> mx.array:
        x = self.embed(ids)
        for index, block in enumerate(self.inner, 1):
            x = block(x)
            if self.eval_every and index % self.eval_every == 0:
                mx.eval(x)
        return self.out(x)


class Outer(nn.Module):
    """Blocks below a module of their own, as in the text connectors."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.network = Network(blocks)

    def __call__(self, ids: mx.array) -> mx.array:
        return self.network(ids)


def saved(path: Path, blocks: int) -> Path:
    mx.random.seed(blocks)
    mx.save_safetensors(str(path), dict(tree_flatten(Outer(blocks).parameters())))
    return path


def load(path: Path, blocks: int, dtype: mx.Dtype, lora: float) -> Outer:
    """With the changes that loaders make to weights on their way."""
    network = Outer(blocks)
    tensors = mx.load(str(path))
    assert isinstance(tensors, dict)
    network.load_weights([(name, value.astype(dtype)) for name, value in tensors.items()])
    for block in network.network.inner:
        weight = block.linear.weight
        block.linear.weight = (weight + lora * (weight[:, :1] @ weight[:1])).astype(dtype)
    return network


def bits(array: mx.array) -> bytes:
    return np.array(array.astype(mx.float32)).tobytes()


@settings(max_examples=20, deadline=None)
@given(
    blocks=st.integers(1, 5),
    dtype=st.sampled_from([mx.float32, mx.bfloat16]),
    lora=st.sampled_from([0.0, 0.7]),
    calls=st.integers(1, 3),
)
def test_the_numbers_are_those_of_the_resident_network(
    tmp_path_factory: pytest.TempPathFactory, blocks: int, dtype: mx.Dtype, lora: float, calls: int
) -> None:
    path = saved(tmp_path_factory.mktemp("weights") / "x.safetensors", blocks)

    def build() -> Outer:
        return load(path, blocks, dtype, lora)

    resident, streamed = build(), build()
    stream(streamed, build, ["network.inner"], ["network.embed"])
    assert nbytes(streamed) == nbytes(resident.network.out)
    for call in range(calls):
        ids = mx.array([[call, 4, 2]])
        assert bits(streamed(ids)) == bits(resident(ids))
    walked: Any = streamed.network.inner
    assert len(walked) == blocks
    assert walked.bytes_read == calls * sum(nbytes(block) for block in resident.network.inner)
    assert walked.seconds_waited > 0


def test_two_blocks_at_a_time(tmp_path: Path) -> None:
    blocks = 6
    path = saved(tmp_path / "x.safetensors", blocks)
    whole = load(path, blocks, mx.float32, 0)
    size = nbytes(whole.network.inner[0])
    del whole
    gc.collect()
    before, most = mx.get_active_memory(), 0

    def build() -> list[Block]:
        inner: list[Block] = load(path, blocks, mx.float32, 0).network.inner
        return inner

    x = mx.zeros((1, WIDTH))
    for block in StreamedBlocks(build, blocks):
        x = block(x)
        mx.eval(x)
        mx.synchronize()
        most = max(most, mx.get_active_memory() - before)
    assert most <= 2 * size + 4096
    # The last one goes with the walk.
    assert not list(tree_flatten(block.parameters()))


def test_a_walk_that_is_left_starts_anew(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.safetensors", 3)
    walked = StreamedBlocks(lambda: load(path, 3, mx.float32, 0).network.inner, 3)

    def first() -> Iterator[bytes]:
        for block in walked:
            yield bits(block.linear.weight)

    assert next(first()) == next(first())
    assert len(list(first())) == 3
