"""Floating-point operations of the token networks, by formula: two for each multiplication that is added.

Counted are matrix products and attention, which are nearly all of the work; not norms, activations,
rotations and other operations on single elements.
"""

from dataclasses import dataclass

from ltx_models.text_encoder import EmbeddingsProcessorConfig, GemmaConfig
from ltx_models.transformer import LTXModelConfig
from ltx_models.transformer.config import StreamConfig

from ltx_bench.configs import Config

SINUSOIDS = 256
"""Width of an embedded noise level before its first layer."""


@dataclass(frozen=True)
class Tokens:
    """Sizes of one call of the transformer.

    Attributes:
        levels: different noise levels in a sample.
        text_known: whether keys and values of the text are at hand from an earlier step.
    """

    video: int
    audio: int
    text: int
    batch: int = 1
    levels: int = 1
    text_known: bool = False


def linear(tokens: int, inputs: int, outputs: int) -> int:
    """A matrix product of (tokens, inputs) with (inputs, outputs)."""
    return 2 * tokens * inputs * outputs


def attention(queries: int, keys: int, width: int) -> int:
    """Scores and sums of values, all heads together `width` wide."""
    return 2 * linear(queries, width, keys)


def transformer_flops(config: Config, tokens: Tokens) -> int:
    """One call of the diffusion transformer, with both streams and no perturbations."""
    model = LTXModelConfig.from_config(config["transformer"])
    assert model.video is not None
    assert model.audio is not None
    streams = ((model.video, tokens.video), (model.audio, tokens.audio))
    block = sum(_stream(model, sizes, count, tokens) for sizes, count in streams) + _cross(model, tokens)
    around = sum(_around(model, sizes, count, tokens) for sizes, count in streams)
    for sizes, _ in streams:
        # Scale and shift of the attention between the streams, four rows; its gate, one.
        around += _adaln(sizes.dim, 4, tokens.levels) + _adaln(sizes.dim, 1, 1)
    return tokens.batch * (model.num_layers * block + around)


def _stream(model: LTXModelConfig, sizes: StreamConfig, count: int, tokens: Tokens) -> int:
    """Self-attention, text attention and feed-forward of one stream in one block."""
    dim = sizes.dim
    own = 4 * linear(count, dim, dim) + attention(count, count, dim)
    text = 2 * linear(count, dim, dim) + attention(count, tokens.text, dim)
    # Where sigma modulates the text, its keys and values change from step to step.
    modulated = model.cross_attention_adaln and model.use_prompt_adaln_single
    if modulated or not tokens.text_known:
        text += 2 * linear(tokens.text, dim, dim)
    gates = 2 * linear(count, dim, sizes.heads) if model.apply_gated_attention else 0
    return own + text + gates + 2 * linear(count, dim, 4 * dim)


def _cross(model: LTXModelConfig, tokens: Tokens) -> int:
    """Attention between the streams in one block, in the audio stream's width."""
    assert model.video is not None
    assert model.audio is not None
    width, total = model.audio.dim, 0
    video, audio = (tokens.video, model.video.dim), (tokens.audio, model.audio.dim)
    for (queries, into), (keys, source) in ((video, audio), (audio, video)):
        total += 2 * linear(queries, into, width) + 2 * linear(keys, source, width)
        total += attention(queries, keys, width)
        if model.apply_gated_attention:
            total += linear(queries, into, model.audio.heads)
    return total


def _around(model: LTXModelConfig, sizes: StreamConfig, count: int, tokens: Tokens) -> int:
    """What a stream has outside the blocks, but for its share of the attention between them."""
    dim = sizes.dim
    total = linear(count, sizes.in_channels, dim) + linear(count, dim, sizes.out_channels)
    total += _adaln(dim, model.adaln_embedding_coefficient, tokens.levels)
    if model.cross_attention_adaln and model.use_prompt_adaln_single:
        total += _adaln(dim, 2, 1)
    if model.caption_channels is not None and not tokens.text_known:
        total += linear(tokens.text, model.caption_channels, dim) + linear(tokens.text, dim, dim)
    return total


def _adaln(dim: int, rows: int, levels: int) -> int:
    return linear(levels, SINUSOIDS, dim) + linear(levels, dim, dim) + linear(levels, dim, rows * dim)


def gemma_flops(config: Config, tokens: int) -> int:
    """The text encoder's layers on `tokens` tokens of one prompt.

    The attention is counted in full, as a kernel without a causal shortcut computes it.
    """
    gemma = GemmaConfig.from_config(config["gemma"])
    inner, outer = gemma.num_attention_heads * gemma.head_dim, gemma.num_key_value_heads * gemma.head_dim
    layer = 2 * linear(tokens, gemma.hidden_size, inner) + 2 * linear(tokens, gemma.hidden_size, outer)
    layer += attention(tokens, tokens, inner)
    layer += 3 * linear(tokens, gemma.hidden_size, gemma.intermediate_size)
    return gemma.num_hidden_layers * layer


def connectors_flops(config: Config, tokens: int, length: int) -> int:
    """Projection of the hidden states of `tokens` tokens, and both connectors on `length` positions."""
    gemma = GemmaConfig.from_config(config["gemma"])
    processor = EmbeddingsProcessorConfig.from_config(
        config["transformer"], gemma.hidden_size, gemma.num_hidden_layers
    )
    states = gemma.hidden_size * (gemma.num_hidden_layers + 1)
    widths = [processor.video.inner_dim, processor.audio.inner_dim]
    projected = widths if processor.per_token_norm else [gemma.hidden_size]
    total = sum(linear(tokens, states, width) for width in projected)
    for connector in (processor.video, processor.audio):
        dim = connector.inner_dim
        block = 4 * linear(length, dim, dim) + attention(length, length, dim)
        block += 2 * linear(length, dim, 4 * dim)
        if connector.gated_attention:
            block += linear(length, dim, connector.num_attention_heads)
        total += connector.num_layers * block
    return total
