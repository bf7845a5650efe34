"""Shares of a divided network. What processes compute together is tested with real ones, in the repository's
tests/distributed."""

from dataclasses import dataclass
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError
from ltx_core.types import Modality
from ltx_models.transformer import LTXModel, LTXModelConfig
from ltx_models.transformer.sharding import own_share
from mlx.utils import tree_flatten

few = settings(max_examples=20, deadline=None)

SECTION: dict[str, Any] = {
    "num_layers": 1,
    "num_attention_heads": 4,
    "attention_head_dim": 8,
    "in_channels": 3,
    "out_channels": 3,
    "cross_attention_dim": 32,
    "audio_num_attention_heads": 4,
    "audio_attention_head_dim": 8,
    "audio_in_channels": 5,
    "audio_out_channels": 5,
    "audio_cross_attention_dim": 32,
    "caption_channels": 6,
    "apply_gated_attention": True,
}
# Layers whose outputs are divided; of the others that change, the inputs are.
ROWS = ("to_q", "to_k", "to_v", "to_gate_logits", "q_norm", "k_norm", "net.0.proj")


@dataclass(frozen=True)
class Group:
    """What is asked of `mlx.core.distributed.Group`, apart from communication."""

    own: int
    count: int

    def rank(self) -> int:
        return self.own

    def size(self) -> int:
        return self.count


def network(section: dict[str, Any] | None = None) -> LTXModel:
    model = LTXModel(LTXModelConfig.from_config(section or SECTION))
    parameters: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    keys = mx.random.split(mx.random.key(3), len(parameters))
    model.load_weights(
        [
            (name, mx.random.normal(value.shape, key=key) / 8)
            for (name, value), key in zip(parameters.items(), keys, strict=True)
        ]
    )
    return model


def parameters_of(model: LTXModel) -> dict[str, np.ndarray]:
    """By official names."""
    found: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    return {name.replace(".share.", "."): np.array(value) for name, value in found.items()}


@few
@given(st.sampled_from([1, 2, 4]))
def test_the_shares_make_up_the_whole(processes: int) -> None:
    whole = parameters_of(network())
    shares = []
    for rank in range(processes):
        model, group = network(), Group(rank, processes)
        model.shard(group)  # type: ignore[arg-type]
        assert model.own_heads == slice(4 // processes * rank, 4 // processes * (rank + 1))
        shares.append(parameters_of(model))
    for name, value in whole.items():
        parts = [share[name] for share in shares]
        layer = name.rpartition(".")[0]
        if name.startswith("transformer_blocks") and layer.endswith(ROWS):
            parts = [np.concatenate(parts)]
        elif name.endswith(("to_out.0.weight", "net.2.weight")):
            parts = [np.concatenate(parts, axis=1)]
        for part in parts:
            np.testing.assert_array_equal(part, value)


@few
@given(st.integers(1, 8), st.integers(1, 5))
def test_shares_of_things(each: int, processes: int) -> None:
    groups: list[Any] = [Group(rank, processes) for rank in range(processes)]
    things = list(range(each * processes))
    assert [thing for group in groups for thing in things[own_share(len(things), group)]] == things


def test_a_group_of_one() -> None:
    whole, part = network(), network()
    part.shard(mx.distributed.init())
    sigma = mx.array([0.7])

    def modality(axes: int, channels: int) -> Modality:
        start = mx.random.uniform(shape=(1, axes, 5, 1), key=mx.random.key(axes))
        return Modality(
            latent=mx.random.normal((1, 5, channels), key=mx.random.key(channels)),
            sigma=sigma,
            timesteps=mx.broadcast_to(sigma[:, None, None], (1, 5, 1)),
            positions=mx.concatenate([start, start + 1], axis=-1),
            context=mx.random.normal((1, 3, 6), key=mx.random.key(6)),
        )

    streams = modality(3, 3), modality(1, 5)
    for got, want in zip(part(*streams), whole(*streams), strict=True):
        assert got is not None
        assert want is not None
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@few
@given(st.sampled_from([3, 5, 8]))
def test_heads_that_cannot_be_divided(processes: int) -> None:
    model = network()
    before = parameters_of(model)
    with pytest.raises(ConfigError, match=f"4 heads .* cannot be divided among {processes} processes"):
        model.shard(Group(0, processes))  # type: ignore[arg-type]
    after = parameters_of(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_quantised_groups_that_cannot_be_divided() -> None:
    model = network()
    nn.quantize(model.transformer_blocks[0].attn1, 32, 8)
    with pytest.raises(ConfigError, match=r"attn1.to_out.0 cannot be divided among 2 processes: groups"):
        model.shard(Group(0, 2))  # type: ignore[arg-type]
