"""The protocol of conditioning items, and what all that append tokens have in common."""

from typing import Protocol

import mlx.core as mx

from ltx_core.conditioning.mask_utils import update_attention_mask
from ltx_core.errors import ConditioningError
from ltx_core.tools import LatentTools, VideoLatentTools
from ltx_core.types import LatentState


class ConditioningItem(Protocol):
    """Writes given content into a state, before the noise."""

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """A new state. It is in token layout; additional tokens go to its end.

        Raises:
            ConditioningError: if the item does not fit the state.
        """
        ...


def check_strength(strength: float) -> None:
    """Refuse a strength outside [0, 1]."""
    if not 0.0 <= strength <= 1.0:
        raise ConditioningError(
            f"strength must be between 0 (no effect) and 1 (kept as given), got {strength}"
        )


def require_video(latent_tools: LatentTools, item: object) -> VideoLatentTools:
    """The tools as video tools.

    Raises:
        ConditioningError: if they are of another stream.
    """
    if not isinstance(latent_tools, VideoLatentTools):
        raise ConditioningError(f"{type(item).__name__} conditions video, it was applied to the audio stream")
    return latent_tools


def append_tokens(
    latent_state: LatentState,
    latent_tools: LatentTools,
    tokens: mx.array,
    positions: mx.array,
    strength: float,
) -> LatentState:
    """The state with clean tokens at its end; their noisy latent is 0, the noiser brings the content in.

    Args:
        latent_state: state in token layout.
        latent_tools: of the stream.
        tokens: (B, M, D) clean content.
        positions: (B, axes, M, 2) float32.
        strength: their denoise mask is 1 - strength.

    Raises:
        ConditioningError: if the tokens are not of the state's batch and width.
    """
    batch, _, width = latent_state.latent.shape
    if (tokens.shape[0], tokens.shape[2]) != (batch, width):
        raise ConditioningError(
            f"conditioning tokens {tokens.shape} do not fit the state {latent_state.latent.shape}: batch and "
            "width must be the same"
        )
    check_strength(strength)
    tokens = tokens.astype(latent_state.latent.dtype)
    mask = mx.full((batch, tokens.shape[1], 1), 1.0 - strength, dtype=latent_state.denoise_mask.dtype)
    marks = latent_state.keyframes_mask
    return latent_state.replace(
        latent=mx.concatenate([latent_state.latent, mx.zeros_like(tokens)], axis=1),
        denoise_mask=mx.concatenate([latent_state.denoise_mask, mask], axis=1),
        positions=mx.concatenate([latent_state.positions, positions], axis=2),
        clean_latent=mx.concatenate([latent_state.clean_latent, tokens], axis=1),
        attention_mask=update_attention_mask(latent_state, None, latent_tools.num_tokens, tokens.shape[1]),
        # Only generated frames are marked as keyframes, given ones never.
        keyframes_mask=None if marks is None else mx.concatenate([marks, mx.zeros_like(mask)], axis=1),
    )
