"""Gemma 3 as a text encoder: the decoder without its output head, returning the states of all layers."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_core.errors import ShapeError

from ltx_models.text_encoder.gemma_config import FULL, GemmaConfig
from ltx_models.text_encoder.mlx_lm_parts import mlx_lm_parts


class GemmaRMSNorm(nn.Module):
    """x / rms(x) * (1 + weight) over the last axis, in float32, returned in the dtype of x.

    In place of mlx-lm's, which rounds 1 + weight to the weight's dtype: in bfloat16 that alone adds a quarter
    to the error of the hidden states.
    """

    def __init__(self, dims: int, eps: float) -> None:
        super().__init__()
        self.weight = mx.zeros((dims,))
        self.eps = eps

    def __call__(self, x: mx.array) -> mx.array:
        weight = 1.0 + self.weight.astype(mx.float32)
        return mx.fast.rms_norm(x.astype(mx.float32), weight, self.eps).astype(x.dtype)


def _make_layer(config: GemmaConfig, layer_type: str) -> nn.Module:
    """A decoder layer of mlx-lm with our norms."""
    gemma3_text, _ = mlx_lm_parts()
    # mlx-lm derives the layer's type from its index and a pattern: index 0 is full for 1, sliding for 2.
    arguments = gemma3_text.ModelArgs(
        model_type="gemma3_text",
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        intermediate_size=config.intermediate_size,
        num_attention_heads=config.num_attention_heads,
        head_dim=config.head_dim,
        rms_norm_eps=config.rms_norm_eps,
        vocab_size=config.vocab_size,
        num_key_value_heads=config.num_key_value_heads,
        rope_theta=config.rope_theta,
        rope_local_base_freq=config.rope_local_theta,
        query_pre_attn_scalar=config.query_pre_attn_scalar,
        sliding_window=config.sliding_window,
        sliding_window_pattern=1 if layer_type == FULL else 2,
        rope_scaling={"rope_type": "linear", "factor": config.rope_factor},
    )
    layer: nn.Module = gemma3_text.TransformerBlock(arguments, layer_idx=0)
    for name in (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ):
        setattr(layer, name, GemmaRMSNorm(config.hidden_size, config.rms_norm_eps))
    for name in ("q_norm", "k_norm"):
        setattr(layer.self_attn, name, GemmaRMSNorm(config.head_dim, config.rms_norm_eps))
    return layer


def sliding_window_mask(length: int, window: int) -> mx.array:
    """Which keys each query sees, (length, length) bool: itself and the `window - 1` tokens before it."""
    index = mx.arange(length)
    distance = index[:, None] - index[None, :]
    return (distance >= 0) & (distance < window)


class _Position:
    """The position of the first token, in the form that mlx-lm takes: a cache, which keeps nothing here."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return keys, values


class GemmaTextModel(nn.Module):
    """The decoder of Gemma 3 with the tree of `language_model.model` in a Hugging Face checkpoint.

    Attributes:
        config: what the network was built from.
        eval_every: evaluate after this many layers, to keep command buffers short on a GPU; 0 stays lazy.
    """

    def __init__(self, config: GemmaConfig) -> None:
        super().__init__()
        self.config = config
        self.eval_every = 0
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = [_make_layer(config, layer_type) for layer_type in config.layer_types]
        self.norm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)

    def __call__(self, input_ids: mx.array, offset: int = 0) -> list[mx.array]:
        """Hidden states of all layers.

        Takes the valid tokens only: attention is causal, so the padding in front that the reference computes
        would change nothing but the work. Prompts of different length are encoded one by one.

        Args:
            input_ids: (B, T) integers, without padding.
            offset: position of the first token, which is the number of padding tokens in the reference. Only
                distances matter to RoPE: this reproduces the rounding of its angles, about 5e-6 in float32.

        Returns:
            `num_hidden_layers + 1` arrays (B, T, hidden_size): the scaled embedding, the output of each layer
            but the last, and that of the last layer after the final norm.

        Raises:
            ShapeError: not (B, T) with T > 0, or a token outside the vocabulary.
        """
        if input_ids.ndim != 2 or 0 in input_ids.shape:
            raise ShapeError(f"input_ids have shape {input_ids.shape}; expected (B, T) with T > 0")
        ids = np.array(input_ids)
        lowest, highest = int(ids.min()), int(ids.max())
        if not 0 <= lowest <= highest < self.config.vocab_size:
            raise ShapeError(
                f"token ids lie in [{lowest}, {highest}], the vocabulary has {self.config.vocab_size} "
                "entries: tokenizer and weights do not belong together"
            )
        return self.hidden_states(input_ids, offset)

    def hidden_states(self, input_ids: mx.array, offset: int = 0) -> list[mx.array]:
        """As the call, without its checks, which wait for the ids: for graphs that are compiled.

        Padding may follow a prompt: attention is causal, so only the states of the padding itself have no
        meaning.
        """
        x = self.embed_tokens(input_ids)
        # The reference rounds the scale to the weights' dtype: 62, not 61.97, for bfloat16 and width 3840.
        x = x * mx.array(self.config.hidden_size**0.5, dtype=x.dtype)
        length = input_ids.shape[1]
        window = self.config.sliding_window
        local_mask = "causal" if length <= window else sliding_window_mask(length, window)

        position = _Position(offset)
        hidden_states = [x]
        for index, (layer, kind) in enumerate(zip(self.layers, self.config.layer_types, strict=True), 1):
            x = layer(x, "causal" if kind == FULL else local_mask, position)
            if self.eval_every and index % self.eval_every == 0:
                mx.eval(x)
            hidden_states.append(x)
        hidden_states[-1] = self.norm(x)
        return hidden_states
