"""How much memory networks need besides their weights, estimated from their configs and a clip's size.

Each estimate is a factor times the size of the network's largest array. The factors were measured on random
networks (MLX 0.32 on a CPU, which frees arrays as late as GPUs do): docs/memory.md has the numbers.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import mlx.core as mx
from ltx_core.device import backend

if TYPE_CHECKING:
    from ltx_models.text_encoder import GemmaConfig
    from ltx_models.transformer import LTXModelConfig
    from ltx_models.upsampler import LatentUpsamplerConfig
    from ltx_models.video_vae import VideoVAEConfig

# Hidden states of the transformer that exist at a time: four times the width in the feed-forward part and its
# activation, queries, keys and values.
TRANSFORMER_STATES = 24
# Arrays as large as the largest of the decoder and of the encoder: inputs, padded copies, outputs, the skip;
# the same of chunks of clips, and the frames that each residual block remembers of the chunk before.
DECODER_ARRAYS, DECODER_CHUNK_ARRAYS = 15, 16
ENCODER_ARRAYS, ENCODER_CHUNK_ARRAYS = 21, 34
UPSAMPLER_ARRAYS = 15
REMEMBERED_FRAMES = 6
# For a second of sound: the vocoder's largest stages, in float32.
BYTES_PER_SECOND = 200_000_000
# Tokens of a context, whatever the prompt.
CONTEXT_TOKENS = 1024


def transformer_bytes(
    config: "LTXModelConfig",
    dtype: mx.Dtype,
    *,
    video_tokens: int,
    audio_tokens: int,
    passes: int = 1,
    texts: int = 1,
    streamed: bool = False,
) -> int:
    """Activations of one call, and what is kept between the calls.

    Args:
        video_tokens, audio_tokens: 0 for a stream that is left out.
        passes: guidance passes that are stacked into one call.
        texts: prompts whose keys and values are kept.
        streamed: the blocks are not resident, and neither is what belongs to a single one.
    """
    streams = [
        (tokens, sizes)
        for tokens, sizes in ((video_tokens, config.video), (audio_tokens, config.audio))
        if tokens and sizes is not None
    ]
    states = sum(tokens * sizes.dim for tokens, sizes in streams)
    text = CONTEXT_TOKENS * sum(sizes.dim for _, sizes in streams)
    total = TRANSFORMER_STATES * passes * states * dtype.size + texts * text * dtype.size
    # Cosines and sines, for self-attention and for attention between the streams.
    total += 2 * states * mx.float32.size
    modulated = config.cross_attention_adaln and config.use_prompt_adaln_single
    if not modulated and not streamed:
        total += texts * config.num_layers * 2 * text * dtype.size
    return total + max(
        (_score_bytes(passes * sizes.heads, tokens, dtype) for tokens, sizes in streams), default=0
    )


def _score_bytes(heads: int, tokens: int, dtype: mx.Dtype) -> int:
    """Attention scores, which only CPUs make: in blocks of queries where there are many."""
    from ltx_models.transformer.attention import MAX_CPU_SCORES

    if backend() != "cpu":
        return 0
    return dtype.size * min(MAX_CPU_SCORES, heads * tokens * max(tokens, CONTEXT_TOKENS))


def text_bytes(gemma: "GemmaConfig", connector_width: int, dtype: mx.Dtype) -> int:
    """The states of all layers, one layer at work, and the connectors; for a prompt of the longest kind."""
    from ltx_models.text_encoder.feature_extractor import TOKENS_AT_ONCE

    layers, width = gemma.num_hidden_layers + 1, gemma.hidden_size
    states = CONTEXT_TOKENS * (layers * width + 3 * gemma.intermediate_size + 8 * width)
    flattened = 4 * TOKENS_AT_ONCE * layers * width
    connectors = TRANSFORMER_STATES * CONTEXT_TOKENS * connector_width
    return (states + max(flattened, connectors)) * dtype.size


def decoder_bytes(config: "VideoVAEConfig", dtype: mx.Dtype, tile: Sequence[int], clip: Sequence[int]) -> int:
    """A tile at work, the frames that it is blended into, and those on their way into a file.

    Args:
        tile: frames, height, width of the largest tile, in latents.
        clip: the same of the clip, in pixels.
    """
    from ltx_models.video_vae.chunks import decoder_arrays

    arrays = decoder_arrays(config, (1, config.latent_channels, *tile))
    frames, remembered = tile[0], 0
    for block, size in zip(config.decoder_blocks, arrays[1:], strict=True):
        frames = (frames - 1) * block.stride[0] + 1
        remembered += REMEMBERED_FRAMES * block.num_layers * size // frames
    chunk = 3 * ((tile[0] - 1) * config.scale_factors.time + 1) * clip[1] * clip[2]
    blended = 3 * mx.float32.size * chunk + 3 * min(chunk, 3 * math.prod(clip))
    return _vae_bytes(max(arrays), remembered, (DECODER_ARRAYS, DECODER_CHUNK_ARRAYS), dtype) + blended


def _vae_bytes(largest: int, remembered: int, arrays: tuple[int, int], dtype: mx.Dtype) -> int:
    """Activations of a video VAE, part of which sees a clip in chunks where its `largest` array, of so many
    elements, would be too large; `arrays` of that size, or that of a chunk's, are in memory."""
    from ltx_models.video_vae.chunks import CHUNK_BYTES

    factor = _float_size(dtype) / dtype.size
    if largest * dtype.size <= CHUNK_BYTES:
        return round(factor * arrays[0] * largest * dtype.size)
    return round(factor * (arrays[1] * CHUNK_BYTES + remembered * dtype.size))


def encoder_bytes(config: "VideoVAEConfig", dtype: mx.Dtype, tile: Sequence[int]) -> int:
    """A tile at work; frames, height and width of it in pixels."""
    from ltx_models.video_vae.chunks import encoder_arrays

    arrays = encoder_arrays(config, (1, config.in_channels, *tile))
    layers = sum(block.num_layers for block in config.encoder_blocks)
    remembered = REMEMBERED_FRAMES * layers * arrays[0] // tile[0]
    return (
        _vae_bytes(arrays[0], remembered, (ENCODER_ARRAYS, ENCODER_CHUNK_ARRAYS), dtype)
        + 2 * 3 * math.prod(tile) * dtype.size
    )


def upsampler_bytes(config: "LatentUpsamplerConfig", dtype: mx.Dtype, latent: Sequence[int]) -> int:
    """Frames, height and width of the enlarged latent."""
    return UPSAMPLER_ARRAYS * config.mid_channels * math.prod(latent) * _float_size(dtype)


def _float_size(dtype: mx.Dtype) -> int:
    # On CPUs convolutions are summed in float32.
    return mx.float32.size if backend() == "cpu" else dtype.size


def sound_bytes(seconds: float) -> int:
    """Encoding or decoding of a sound."""
    return round(BYTES_PER_SECOND * seconds)
