"""Self-attention masks between the generated tokens and groups of appended tokens."""

import mlx.core as mx
import numpy as np

from ltx_core.errors import ConditioningError, ShapeError
from ltx_core.types import LatentState, VideoLatentShape


def resolve_cross_mask(attention_mask: float | mx.array, num_new_tokens: int, batch_size: int) -> mx.array:
    """Attention strengths as (B, M) float32, from one number, (M,), (1, M) or (B, M).

    Raises:
        ConditioningError: for another shape, or values outside [0, 1].
    """
    mask = mx.array(attention_mask, dtype=mx.float32)
    if mask.shape not in ((), (num_new_tokens,), (1, num_new_tokens), (batch_size, num_new_tokens)):
        raise ConditioningError(
            f"attention strengths have shape {mask.shape}; expected one number, ({num_new_tokens},) or "
            f"({batch_size}, {num_new_tokens}) for the {num_new_tokens} conditioning tokens"
        )
    if mx.any((mask < 0) | (mask > 1)).item():
        raise ConditioningError("attention strengths must be between 0 and 1")
    return mx.broadcast_to(mask, (batch_size, num_new_tokens))


def update_attention_mask(
    latent_state: LatentState,
    attention_mask: float | mx.array | None,
    num_noisy_tokens: int,
    num_new_tokens: int,
) -> mx.array | None:
    """The state's attention mask, extended for tokens that are about to be appended.

    Args:
        latent_state: state before the tokens are appended.
        attention_mask: strength between the new and the noisy tokens (see `resolve_cross_mask`); None keeps
            having no mask, or means 1 if there is one already.
        num_noisy_tokens: tokens of the target.
        num_new_tokens: tokens that will be appended.

    Raises:
        ConditioningError: if the strengths do not fit the tokens.
    """
    if attention_mask is None:
        if latent_state.attention_mask is None:
            return None
        attention_mask = 1.0
    batch, existing, _ = latent_state.latent.shape
    return build_attention_mask(
        latent_state.attention_mask,
        num_noisy_tokens,
        num_new_tokens,
        existing,
        resolve_cross_mask(attention_mask, num_new_tokens, batch),
    )


def build_attention_mask(
    existing_mask: mx.array | None,
    num_noisy_tokens: int,
    num_new_tokens: int,
    num_existing_tokens: int,
    cross_mask: mx.array,
) -> mx.array:
    """(B, N + M, N + M) in [0, 1] for N existing and M new tokens.

    The N x N block is the existing mask, or 1. New tokens see each other with 1, the noisy tokens (the first
    of the N) with `cross_mask`, in both directions, and tokens appended before them not at all.

    Args:
        existing_mask: (B, N, N) or None.
        num_noisy_tokens: tokens of the target.
        num_new_tokens: M.
        num_existing_tokens: N.
        cross_mask: (B, M).
    """
    batch = cross_mask.shape[0]
    n, m = num_existing_tokens, num_new_tokens
    block = mx.ones((batch, n, n), cross_mask.dtype) if existing_mask is None else existing_mask
    noisy = mx.broadcast_to(cross_mask[:, None, :], (batch, num_noisy_tokens, m))
    apart = mx.zeros((batch, n - num_noisy_tokens, m), cross_mask.dtype)
    columns = mx.concatenate([noisy, apart], axis=1)
    top = mx.concatenate([block.astype(cross_mask.dtype), columns], axis=2)
    bottom = mx.concatenate([columns.transpose(0, 2, 1), mx.ones((batch, m, m), cross_mask.dtype)], axis=2)
    return mx.concatenate([top, bottom], axis=1)


def _area_weights(size: int, target: int) -> np.ndarray:
    """(target, size): row i averages the pixels from floor(i s/t) to ceil((i + 1) s/t), ends overlapping."""
    weights = np.zeros((target, size), np.float32)
    for i in range(target):
        start, stop = i * size // target, -(-(i + 1) * size // target)
        weights[i, start:stop] = 1.0 / (stop - start)
    return weights


def downsample_mask_video_to_latent(
    mask: mx.array | np.ndarray, target_latent_shape: VideoLatentShape
) -> mx.array:
    """A mask over pixels as a mask over latent tokens, (B, F H W) float32 (for attention strengths).

    Height and width are averaged over the area of each latent pixel. The first frame stands alone, every
    further latent frame is the mean of its group of pixel frames.

    Args:
        mask: (B, 1, frames, height, width) in pixels.
        target_latent_shape: the latent whose tokens are masked.

    Raises:
        ShapeError: if the frames after the first cannot be divided into the latent's.
    """
    pixels = np.array(mask.astype(mx.float32) if isinstance(mask, mx.array) else mask, np.float32)
    if pixels.ndim != 5 or pixels.shape[1] != 1:
        raise ShapeError(f"a pixel mask has shape (B, 1, F, H, W), got {pixels.shape}")
    batch, _, frames, height, width = pixels.shape
    target = target_latent_shape
    small = pixels[:, 0] @ _area_weights(width, target.width).T
    small = _area_weights(height, target.height) @ small
    parts = [small[:, :1]]
    if target.frames > 1:
        if frames == 1 or (frames - 1) % (target.frames - 1):
            raise ShapeError(
                f"a mask of {frames} frames cannot be divided over {target.frames} latent frames; expected "
                f"1 + k * {target.frames - 1} frames"
            )
        groups = small[:, 1:].reshape(batch, target.frames - 1, -1, target.height, target.width)
        parts.append(groups.mean(axis=2))
    return mx.array(np.concatenate(parts, axis=1).reshape(batch, -1))
