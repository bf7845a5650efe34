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
# Arrays as large as the largest of the decoder and of the encoder: inputs, padded copies, outputs, the skip.
DECODER_ARRAYS = 15
ENCODER_ARRAYS = 21
UPSAMPLER_ARRAYS = 15
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
    """A tile at work, the frames that it is blended into, and all frames as bytes.

    Args:
        tile: frames, height, width of the largest tile, in latents.
        clip: the same of the clip, in pixels.
    """
    frames, height, width = tile
    channels = config.decoder_in_channels
    arrays = [channels * _padded(frames, height, width)]
    for block in config.decoder_blocks:
        if block.name != "res_x":
            time, rows, columns = block.stride
            channels //= block.multiplier
            frames, height, width = frames * time - (time - 1), height * rows, width * columns
            arrays.append(channels * _padded(frames, height, width))
    chunk = 3 * frames * clip[1] * clip[2] * mx.float32.size
    return DECODER_ARRAYS * max(arrays) * _vae_size(dtype) + 3 * chunk + 2 * 3 * math.prod(clip)


def _padded(frames: int, height: int, width: int) -> int:
    """Positions that a convolution sees."""
    return (frames + 2) * (height + 2) * (width + 2)


def encoder_bytes(config: "VideoVAEConfig", dtype: mx.Dtype, tile: Sequence[int]) -> int:
    """A tile at work; frames, height and width of it in pixels."""
    positions = math.prod(tile) // config.patch_size**2
    return ENCODER_ARRAYS * config.latent_channels * positions * _vae_size(dtype)


def _vae_size(dtype: mx.Dtype) -> int:
    # On CPUs convolutions are summed in float32.
    return mx.float32.size if backend() == "cpu" else dtype.size


def upsampler_bytes(config: "LatentUpsamplerConfig", dtype: mx.Dtype, latent: Sequence[int]) -> int:
    """Frames, height and width of the enlarged latent."""
    return UPSAMPLER_ARRAYS * config.mid_channels * math.prod(latent) * _vae_size(dtype)


def sound_bytes(seconds: float) -> int:
    """Encoding or decoding of a sound."""
    return round(BYTES_PER_SECOND * seconds)
