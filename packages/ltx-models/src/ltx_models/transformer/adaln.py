"""Modulation of a network by its noise level: adaLN-single of PixArt-alpha (arXiv 2310.00426, section 2.3).

Noise levels may differ from token to token, but there are few different ones. The layers here run on those;
blocks gather what they need for each token.
"""

import math
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import mlx.core as mx
import mlx.nn as nn
import numpy as np


@dataclass(frozen=True, eq=False)
class DistinctTimesteps:
    """The noise levels that occur.

    Attributes:
        values: (U,) float32 on the host.
        index: (B, T) which of them a token has; None if all tokens of a sample have one, then U is B.
    """

    values: np.ndarray
    index: mx.array | None

    @staticmethod
    def of(timesteps: mx.array) -> "DistinctTimesteps":
        """Of timesteps (B,), (B, T) or (B, T, 1). Waits for them to be computed."""
        host = np.array(timesteps.astype(mx.float32)).reshape(timesteps.shape[0], -1)
        if (host == host[:, :1]).all():
            return DistinctTimesteps(host[:, 0], None)
        values, index = np.unique(host, return_inverse=True)
        return DistinctTimesteps(values, mx.array(index.reshape(host.shape).astype(np.int32)))


@dataclass(frozen=True, eq=False)
class Modulation:
    """What an AdaLN layer makes of the distinct timesteps.

    Attributes:
        values: (U, coefficients, dim).
        index: see `DistinctTimesteps`.
    """

    values: mx.array
    index: mx.array | None

    def per_token(self, values: mx.array) -> mx.array:
        """Spread values (U, ...), one row for each distinct timestep, over tokens: (B, T or 1, ...)."""
        return values[:, None] if self.index is None else values[self.index]

    def spread(self, row: mx.array) -> mx.array:
        """One row (U, 1, dim) over tokens: (B, T or 1, dim)."""
        return row if self.index is None else row.squeeze(1)[self.index]


class AdaValues:
    """Rows of a table (coefficients, dim) plus the modulation: what modulates a part of a network.

    Attributes:
        modulation: the sums, for each distinct timestep.
    """

    def __init__(
        self, scale_shift_table: mx.array, modulation: Modulation, rows: slice = slice(None)
    ) -> None:
        table = scale_shift_table[rows].astype(modulation.values.dtype)
        self.modulation = replace(modulation, values=table + modulation.values[..., rows, :])

    @cached_property
    def rows(self) -> list[mx.array]:
        """Spread over tokens, each (B, T or 1, dim).

        The sums are cut once, not indexed row by row: the gradient of that is one concatenation.
        """
        values = self.modulation.values
        return [self.modulation.spread(row) for row in mx.split(values, values.shape[-2], axis=-2)]

    def times(self, factor: mx.array) -> "AdaValues":
        """All of it times a factor (B, 1, 1); noise levels must not differ within a sample."""
        changed = copy(self)
        changed.__dict__.pop("rows", None)
        changed.modulation = replace(self.modulation, values=self.modulation.values * factor)
        return changed


def get_ada_values(
    scale_shift_table: mx.array, modulation: Modulation, rows: slice = slice(None)
) -> list[mx.array]:
    """Rows of a table (coefficients, dim) plus the modulation, each (B, T or 1, dim)."""
    return AdaValues(scale_shift_table, modulation, rows).rows


def get_timestep_embedding(timesteps: np.ndarray, embedding_dim: int = 256) -> np.ndarray:
    """Sinusoids cos(t f_k), then sin(t f_k), f_k = 10000^(-k / half), k = 0..half-1.

    timesteps: (U,) float32, in thousandths of the noise level; result (U, embedding_dim) float32. Phases
    are float32, their sines exact: on the host, because fast sines of some GPUs are not.
    """
    half = embedding_dim // 2
    # Exponents rounded to float32, their exponential exact: with phases up to 1000 every last digit counts.
    exponents = np.float32(-math.log(10000.0)) * np.arange(half, dtype=np.float32) / np.float32(half)
    frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
    phases = (timesteps.astype(np.float32)[:, None] * frequencies).astype(np.float64)
    return np.concatenate([np.cos(phases), np.sin(phases)], axis=-1).astype(np.float32)


class TimestepEmbedding(nn.Module):
    """Linear, SiLU, linear."""

    def __init__(self, in_channels: int, time_embed_dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_channels, time_embed_dim)
        self.linear_2 = nn.Linear(time_embed_dim, time_embed_dim)

    def __call__(self, sample: mx.array) -> mx.array:
        return self.linear_2(nn.silu(self.linear_1(sample)))


class TimestepEmbedder(nn.Module):
    """A small MLP on the sinusoids of a timestep."""

    def __init__(self, embedding_dim: int) -> None:
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(256, embedding_dim)

    def __call__(self, sinusoids: mx.array) -> mx.array:
        return self.timestep_embedder(sinusoids)


class AdaLayerNormSingle(nn.Module):
    """Embeds timesteps and projects them to `embedding_coefficient` rows of modulation.

    Reference component: `model/transformer/adaln.py`.
    """

    def __init__(self, embedding_dim: int, embedding_coefficient: int = 6) -> None:
        super().__init__()
        self.embedding_coefficient = embedding_coefficient
        self.emb = TimestepEmbedder(embedding_dim)
        self.linear = nn.Linear(embedding_dim, embedding_coefficient * embedding_dim)

    def __call__(
        self, timesteps: DistinctTimesteps, scale: float, hidden_dtype: mx.Dtype
    ) -> tuple[Modulation, Modulation]:
        """The modulation, and the embedded timestep that it is projected from (one coefficient).

        `scale` multiplies the noise levels (1000: training counts them in thousandths).
        """
        sinusoids = mx.array(get_timestep_embedding(timesteps.values * np.float32(scale)))
        rows, embedded = self.project(sinusoids.astype(hidden_dtype))
        return Modulation(rows, timesteps.index), Modulation(embedded, timesteps.index)

    def project(self, sinusoids: mx.array) -> tuple[mx.array, mx.array]:
        """Values of both modulations, from what `get_timestep_embedding` makes of the timesteps, (U, 256).

        All of it runs on the device: training compiles it, with the sinusoids as an input.
        """
        embedded = self.emb(sinusoids)
        rows = self.linear(nn.silu(embedded)).reshape(len(embedded), self.embedding_coefficient, -1)
        return rows, embedded[:, None]
