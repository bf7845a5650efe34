"""From the inputs of a stream to what the blocks see of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import mlx.core as mx
from ltx_core.errors import ConfigError, ShapeError
from ltx_core.types import Modality

from ltx_models.transformer.adaln import DistinctTimesteps, Modulation
from ltx_models.transformer.cache import TransformerCache
from ltx_models.transformer.config import LTXModelConfig, StreamConfig
from ltx_models.transformer.masks import prepare_attention_mask, prepare_self_attention_mask
from ltx_models.transformer.rope import FreqsCis, precompute_freqs_cis
from ltx_models.transformer.transformer import PREFIX
from ltx_models.transformer.transformer_args import CrossModalArgs, TransformerArgs

if TYPE_CHECKING:
    from ltx_models.transformer.model import LTXModel

# What modulates a stream's share of the attention between the streams: named for the direction into it.
CROSS_GATE = {"video": "av_ca_a2v_gate_adaln_single", "audio": "av_ca_v2a_gate_adaln_single"}


def check_modality(config: LTXModelConfig, stream: str, modality: Modality) -> None:
    """Check the inputs of a stream against the model and each other.

    Raises:
        ConfigError: the model lacks the stream.
        ShapeError: naming the input, its shape and the expected one.
    """
    sizes = _sizes(config, stream)
    batch, length = modality.latent.shape[0], modality.latent.shape[-2]
    if not length:
        raise ShapeError(f"{stream} latent has no tokens; pass {stream}=None for a stream that is not there")
    expected: dict[str, list[tuple[int, ...]]] = {
        "latent": [(batch, length, sizes.in_channels)],
        "sigma": [(batch,), (1,)],
        "timesteps": [(batch, length, 1), (batch, length), (batch, 1, 1), (batch, 1)],
        "positions": [(batch, len(sizes.max_pos), length, 2)],
        "context": [(batch, modality.context.shape[-2], config.caption_channels or sizes.dim)],
    }
    for name, shapes in expected.items():
        if (shape := getattr(modality, name).shape) not in shapes:
            raise ShapeError(f"{stream} {name} has shape {shape}, expected {shapes[0]}")


def prepare_stream(
    model: "LTXModel", stream: str, modality: Modality, other: Modality | None, cache: TransformerCache
) -> TransformerArgs:
    """Embed tokens, text, positions and noise levels of one stream; `other` is the other one, if present."""
    prefix = PREFIX[stream]
    modulation, embedded = _modulate(model, f"{prefix}adaln_single", modality.timesteps, cache)
    prompt = None
    if f"{prefix}prompt_adaln_single" in model:
        # By the noise level of the step: the text belongs to no token.
        prompt, _ = _modulate(model, f"{prefix}prompt_adaln_single", modality.sigma, cache)
    return TransformerArgs(
        x=patchify(model, stream, modality),
        context=_project_context(model, prefix, modality.context, cache),
        context_key=modality.context,
        context_mask=_bias(prepare_attention_mask, modality.context_mask, model.dtype, cache),
        timesteps=modulation,
        embedded_timestep=embedded,
        prompt_timestep=prompt,
        positional_embeddings=self_rope(model.config, stream, modality.positions, cache, model.own_heads),
        self_attention_mask=_bias(prepare_self_attention_mask, modality.attention_mask, model.dtype, cache),
        cross=_prepare_cross(model, stream, modality, other, cache) if other else None,
        enabled=modality.enabled,
    )


def patchify(model: "LTXModel", stream: str, modality: Modality) -> mx.array:
    """Hidden states (B, T, dim) of the tokens; a keyframe model marks those of a single pixel frame."""
    x: mx.array = model[f"{PREFIX[stream]}patchify_proj"](modality.latent.astype(model.dtype))
    if stream == "video" and "keyframes_abs_pos_embedding" in model and modality.keyframes_mask is not None:
        x = x + (modality.keyframes_mask > 0).astype(x.dtype) * model.keyframes_abs_pos_embedding
    return x


def self_rope(
    config: LTXModelConfig,
    stream: str,
    positions: mx.array,
    cache: TransformerCache,
    own_heads: slice = slice(None),
) -> FreqsCis:
    """Rotation of a stream's tokens in these heads of its self-attention."""
    sizes = _sizes(config, stream)
    return cache.get(
        ("rope", stream),
        positions,
        lambda: _rope(config, positions, sizes.dim, sizes.max_pos, sizes.heads, own_heads),
    )


def cross_rope(
    config: LTXModelConfig,
    stream: str,
    positions: mx.array,
    cache: TransformerCache,
    own_heads: slice = slice(None),
) -> FreqsCis:
    """Rotation of a stream's tokens in attention between the streams: by time alone, in audio's width."""
    audio = _sizes(config, "audio")
    max_pos = max(_sizes(config, "video").max_pos[0], audio.max_pos[0])
    return cache.get(
        ("cross rope", stream),
        positions,
        lambda: _rope(config, positions[:, :1], audio.dim, (max_pos,), audio.heads, own_heads),
    )


def _rope(
    config: LTXModelConfig,
    positions: mx.array,
    dim: int,
    max_pos: tuple[float, ...],
    heads: int,
    own_heads: slice,
) -> FreqsCis:
    cosines, sines = precompute_freqs_cis(
        positions,
        dim,
        theta=config.positional_embedding_theta,
        max_pos=max_pos,
        num_attention_heads=heads,
        double_precision=config.double_precision_rope,
    )
    return cosines[:, own_heads], sines[:, own_heads]


def _prepare_cross(
    model: "LTXModel", stream: str, modality: Modality, other: Modality, cache: TransformerCache
) -> CrossModalArgs:
    factor = model.config.av_ca_timestep_scale_multiplier / model.config.timestep_scale_multiplier
    scale_shift, _ = _modulate(model, f"av_ca_{stream}_scale_shift_adaln_single", modality.timesteps, cache)
    gate, _ = _modulate(model, CROSS_GATE[stream], other.sigma, cache, factor)
    positional_embeddings = cross_rope(model.config, stream, modality.positions, cache, model.own_heads)
    return CrossModalArgs(positional_embeddings, scale_shift, gate)


def _modulate(
    model: "LTXModel", adaln: str, timesteps: mx.array, cache: TransformerCache, factor: float = 1.0
) -> tuple[Modulation, Modulation]:
    distinct = cache.get("timesteps", timesteps, lambda: DistinctTimesteps.of(timesteps))
    result: tuple[Modulation, Modulation] = model[adaln](
        distinct, model.config.timestep_scale_multiplier * factor, model.dtype
    )
    return result


def _project_context(model: "LTXModel", prefix: str, context: mx.array, cache: TransformerCache) -> mx.array:
    if f"{prefix}caption_projection" not in model:
        return context.astype(model.dtype)
    project = model[f"{prefix}caption_projection"]
    result: mx.array = cache.get(("context", prefix), context, lambda: project(context.astype(model.dtype)))
    return result


def _bias(
    prepare: Callable[[mx.array, mx.Dtype], mx.array],
    mask: mx.array | None,
    dtype: mx.Dtype,
    cache: TransformerCache,
) -> mx.array | None:
    return None if mask is None else cache.get(prepare.__name__, mask, lambda: prepare(mask, dtype))


def _sizes(config: LTXModelConfig, stream: str) -> StreamConfig:
    sizes = config.video if stream == "video" else config.audio
    if sizes is None:
        raise ConfigError(f"this model has no {stream} stream; pass {stream}=None, or build one that has it")
    return sizes
