"""What the blocks see of one stream."""

from dataclasses import dataclass

import mlx.core as mx

from ltx_models.transformer.adaln import Modulation
from ltx_models.transformer.rope import FreqsCis


@dataclass(frozen=True, eq=False)
class CrossModalArgs:
    """What attention between the streams needs of one stream.

    Attributes:
        positional_embeddings: rotation by time alone.
        scale_shift_timestep: modulation of what goes in, by the stream's own noise levels.
        gate_timestep: modulation of what the stream takes from the other one, by the other's sigma.
    """

    positional_embeddings: FreqsCis
    scale_shift_timestep: Modulation
    gate_timestep: Modulation


@dataclass(frozen=True, eq=False)
class TransformerArgs:
    """One stream on its way through the blocks; only `x` changes there.

    Attributes:
        x: (B, T, dim) hidden states.
        context: (B, S, dim) text.
        context_key: the array that `context` was made from, by which text keys and values are cached.
        context_mask: additive bias, broadcastable to (B, heads, T, S), or None.
        timesteps: modulation of the stream's own attention and feed-forward.
        embedded_timestep: modulation of the output, one coefficient.
        prompt_timestep: modulation of the text, if it depends on the noise level.
        positional_embeddings: rotation in self-attention.
        self_attention_mask: additive bias (B, 1, T, T), or None.
        cross: None without the other stream.
        enabled: whether the stream is updated.
    """

    x: mx.array
    context: mx.array
    context_key: mx.array
    context_mask: mx.array | None
    timesteps: Modulation
    embedded_timestep: Modulation
    prompt_timestep: Modulation | None
    positional_embeddings: FreqsCis
    self_attention_mask: mx.array | None
    cross: CrossModalArgs | None
    enabled: bool
