"""A small bidirectional transformer between the text features and the diffusion transformer.

Reference component: `text_encoders/gemma/embeddings_connector.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ConfigError, ShapeError
from ltx_core.maths import check_config_value, rms_norm

from ltx_models.transformer.attention import Attention
from ltx_models.transformer.feed_forward import FeedForward
from ltx_models.transformer.rope import FreqsCis, LTXRopeType, precompute_freqs_cis

# As in the reference, which reads neither from the config.
NUM_LEARNABLE_REGISTERS = 128
ROPE_THETA = 10000.0


@dataclass(frozen=True)
class ConnectorConfig:
    """One connector.

    Attributes:
        max_pos: the position that stands for a full turn of the RoPE fractions.
        double_precision_rope: whether RoPE frequencies are generated in float64.
        gated_attention: whether attention heads are gated.
        ff_bias: whether the feed-forward layers have biases.
    """

    num_attention_heads: int
    attention_head_dim: int
    num_layers: int
    max_pos: float
    rope_type: LTXRopeType
    double_precision_rope: bool
    gated_attention: bool
    ff_bias: bool

    @property
    def inner_dim(self) -> int:
        """Width of the features and of the context."""
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def from_config(cls, section: Mapping[str, Any], audio: bool = False) -> "ConnectorConfig":
        """Read the transformer's config section.

        Args:
            audio: the audio connector; its sizes are those of the video connector where it has no own keys.

        Raises:
            ConfigError: a value that the network does not support.
        """
        check_config_value(section, "use_embeddings_connector", True)
        check_config_value(section, "connector_norm_output", True)

        def size(name: str, default: int) -> int:
            key = f"connector_{name}"
            if audio and f"audio_{key}" in section:
                key = f"audio_{key}"
            value = section.get(key, default)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"config key {key!r} is {value!r}; it must be a positive integer")
            return value

        max_pos = section.get("connector_positional_embedding_max_pos", [1])
        if not isinstance(max_pos, list | tuple) or len(max_pos) != 1 or not max_pos[0] > 0:
            raise ConfigError(
                f"config key 'connector_positional_embedding_max_pos' is {max_pos!r}; it must be a list "
                "of one positive number"
            )
        rope_type = section.get("rope_type", "split")
        if rope_type not in (kinds := [kind.value for kind in LTXRopeType]):
            raise ConfigError(f"config key 'rope_type' is {rope_type!r}; supported: {', '.join(kinds)}")
        return cls(
            num_attention_heads=size("num_attention_heads", 30),
            attention_head_dim=size("attention_head_dim", 128),
            num_layers=size("num_layers", 2),
            max_pos=float(max_pos[0]),
            rope_type=LTXRopeType(rope_type),
            double_precision_rope=section.get("frequencies_precision") == "float64",
            gated_attention=bool(section.get("connector_apply_gated_attention", False)),
            ff_bias=bool(section.get("connector_ff_bias", True)),
        )


class BasicTransformerBlock1D(nn.Module):
    """x + attention(rms(x)), then x + feed-forward(rms(x)); the norms have no weights."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.attn1 = Attention(
            query_dim=config.inner_dim,
            heads=config.num_attention_heads,
            dim_head=config.attention_head_dim,
            rope_type=config.rope_type,
            apply_gated_attention=config.gated_attention,
        )
        self.ff = FeedForward(config.inner_dim, dim_out=config.inner_dim, bias=config.ff_bias)

    def __call__(self, x: mx.array, pe: FreqsCis) -> mx.array:
        x = x + self.attn1(rms_norm(x), pe=pe)
        return x + self.ff(rms_norm(x))


class Embeddings1DConnector(nn.Module):
    """Fills the positions behind the text with learned registers, then attends among all positions.

    Attributes:
        config: what the network was built from.
        eval_every: evaluate after this many blocks, to keep command buffers short on a GPU; 0 stays lazy.
    """

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.config = config
        self.eval_every = 0
        self.transformer_1d_blocks = [BasicTransformerBlock1D(config) for _ in range(config.num_layers)]
        self.learnable_registers = mx.zeros((NUM_LEARNABLE_REGISTERS, config.inner_dim))
        self._tables: FreqsCis | None = None

    def append_registers(self, features: mx.array, max_length: int) -> mx.array:
        """Features (B, n, D) to (B, max_length, D): position i >= n holds register i mod 128.

        Raises:
            ShapeError: more features than positions, or a length that is no multiple of 128.
        """
        batch, length, _ = features.shape
        if max_length < 1 or max_length % NUM_LEARNABLE_REGISTERS:
            raise ShapeError(
                f"max_length is {max_length}; it must be a positive multiple of {NUM_LEARNABLE_REGISTERS}"
            )
        if length > max_length:
            raise ShapeError(f"{length} tokens do not fit max_length {max_length}; truncate the prompt")
        index = mx.arange(length, max_length) % NUM_LEARNABLE_REGISTERS
        registers = self.learnable_registers[index].astype(features.dtype)
        registers = mx.broadcast_to(registers, (batch, *registers.shape))
        return mx.concatenate([features, registers], axis=1)

    def _freqs_cis(self, length: int) -> FreqsCis:
        """RoPE tables of positions 0..length - 1, kept for the next prompt."""
        if self._tables is None or self._tables[0].shape[2] != length:
            self._tables = precompute_freqs_cis(
                mx.arange(length, dtype=mx.float32)[None, None],
                dim=self.config.inner_dim,
                theta=ROPE_THETA,
                max_pos=[self.config.max_pos],
                num_attention_heads=self.config.num_attention_heads,
                double_precision=self.config.double_precision_rope,
            )
        return self._tables

    def __call__(self, features: mx.array, max_length: int) -> mx.array:
        """The context (B, max_length, D) that the diffusion transformer attends to; no position is masked.

        Args:
            features: (B, n, D) of the valid tokens.
            max_length: number of positions, a multiple of 128.

        Raises:
            ShapeError: see `append_registers`.
        """
        return self.attend(self.append_registers(features, max_length))

    def attend(self, x: mx.array) -> mx.array:
        """The blocks alone, on positions (B, max_length, D) that hold features and registers already."""
        pe = self._freqs_cis(x.shape[1])
        for index, block in enumerate(self.transformer_1d_blocks, 1):
            x = block(x, pe)
            if self.eval_every and index % self.eval_every == 0:
                mx.eval(x)
        return rms_norm(x)
