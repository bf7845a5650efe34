"""The transformer divided among processes: each has some heads of every attention, and a share of the width
of every feed-forward layer (tensor parallelism as of Megatron-LM, arXiv 1909.08053).

What enters and leaves these parts is the same in all processes, and so is everything around them.
"""

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
from ltx_core.device import compiled
from ltx_core.errors import ConfigError

from ltx_models.transformer.attention import Attention
from ltx_models.transformer.feed_forward import FeedForward


@compiled
def _sum_of_squares(x: mx.array) -> mx.array:
    return mx.square(x.astype(mx.float32)).sum(axis=-1, keepdims=True)


@compiled
def _scaled(x: mx.array, mean_square: mx.array, eps: float, weight: mx.array) -> mx.array:
    return (x.astype(mx.float32) * mx.rsqrt(mean_square + eps) * weight).astype(x.dtype)


class ShardedRMSNorm(nn.Module):
    """RMS norm over a width of which each process has a share: exact, squares are summed over all of them."""

    def __init__(self, norm: nn.RMSNorm, group: mx.distributed.Group) -> None:
        super().__init__()
        self.group = group
        self.eps = norm.eps
        self.width = norm.weight.size
        self.weight = _share(norm.weight, 0, group)

    def __call__(self, x: mx.array) -> mx.array:
        """This process's share of x, (B, T, width / processes)."""
        squares = mx.distributed.all_sum(_sum_of_squares(x), group=self.group)
        return _scaled(x, squares / self.width, self.eps, self.weight)


class ShardedToAllLinear(nn.Module):
    """A linear layer whose inputs are divided: the processes' products are summed.

    Args:
        layer: of any kind, quantised or not; it becomes this process's share.
    """

    def __init__(self, layer: nn.Module, group: mx.distributed.Group) -> None:
        super().__init__()
        self.group = group
        # Added once, to the sum.
        if "bias" in layer:
            self.bias = layer.pop("bias")
        for name, value in _arrays(layer).items():
            if value.ndim == 2:
                layer[name] = _share(value, 1, group)
        self.share = layer

    def __call__(self, x: mx.array) -> mx.array:
        """This process's share of x, (..., in / processes), to all of (..., out)."""
        x = mx.distributed.all_sum(self.share(x), group=self.group)
        return x + self.bias if "bias" in self else x


def shard_blocks(blocks: Sequence[nn.Module], group: mx.distributed.Group) -> None:
    """Keep this process's share of the blocks' weights; nothing is computed yet.

    The layers keep their names and kinds, but for those that communicate: the norms of queries and keys, the
    output of attention, and the second layer of a feed-forward part. Keys, queries and values of an attention
    may be fused later on, LoRAs may not.

    Raises:
        ConfigError: the heads, or what is quantised together, cannot be divided by the number of processes;
            nothing was changed then.
    """
    parts = [
        (f"transformer_blocks.{index}.{path}", module)
        for index, block in enumerate(blocks)
        for path, module in block.named_modules()
    ]
    attentions = [(path, module) for path, module in parts if isinstance(module, Attention)]
    feed_forwards = [(path, module) for path, module in parts if isinstance(module, FeedForward)]
    size = group.size()
    for path, attention in attentions:
        if attention.heads % size:
            raise ConfigError(
                f"the {attention.heads} heads of {path} cannot be divided among {size} processes; start "
                f"as many as divide {attention.heads}, or divide the guidance passes instead of the network"
            )
        _check_columns(f"{path}.to_out.0", attention.to_out[0], size)
    for path, feed_forward in feed_forwards:
        _check_columns(f"{path}.net.2", feed_forward.net[2], size)

    for _, attention in attentions:
        attention.heads //= size
        for name in ("to_q", "to_k", "to_v", "to_gate_logits"):
            if name in attention:
                _keep_rows(attention[name], group)
        for name in ("q_norm", "k_norm"):
            attention[name] = ShardedRMSNorm(attention[name], group)
        attention["to_out"] = [ShardedToAllLinear(attention.to_out[0], group)]
    for _, feed_forward in feed_forwards:
        project_in, dropout, project_out = feed_forward.net
        _keep_rows(project_in.proj, group)
        feed_forward["net"] = [project_in, dropout, ShardedToAllLinear(project_out, group)]


def own_share(length: int, group: mx.distributed.Group) -> slice:
    """Which of `length` things, an equal number for each process, this one has."""
    each = length // group.size()
    return slice(each * group.rank(), each * (group.rank() + 1))


def _share(value: mx.array, axis: int, group: mx.distributed.Group) -> mx.array:
    """This process's share along an axis, in memory of its own: the whole is let go once it is read."""
    own = (slice(None),) * axis + (own_share(value.shape[axis], group),)
    return mx.contiguous(value[own])


def _keep_rows(layer: nn.Module, group: mx.distributed.Group) -> None:
    """A share of the outputs. Whatever a layer's kind, the first axis of its arrays counts these."""
    for name, value in _arrays(layer).items():
        if value.ndim:
            layer[name] = _share(value, 0, group)


def _check_columns(path: str, layer: nn.Module, size: int) -> None:
    for name, value in _arrays(layer).items():
        if value.ndim == 2 and value.shape[1] % size:
            what = "groups of quantised weights" if name in ("scales", "biases") else "inputs"
            raise ConfigError(
                f"{path} cannot be divided among {size} processes: {what} in a row: {value.shape[1]}; start "
                "another number of them, quantise in smaller groups, or divide the guidance passes instead "
                "of the network"
            )


def _arrays(layer: nn.Module) -> dict[str, mx.array]:
    return {name: value for name, value in layer.items() if isinstance(value, mx.array)}
