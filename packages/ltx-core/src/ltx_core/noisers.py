"""Noise and how it enters a latent state.

Randomness is always an argument: a function from an array to noise of its shape.

To replay recorded noise, pass a function that returns it: `GaussianNoiser(lambda latent: recorded)`.
"""

from collections.abc import Callable
from typing import Protocol

import mlx.core as mx

from ltx_core.maths import lerp, precise_mean, precise_std
from ltx_core.types import LatentState

NoiseFn = Callable[[mx.array], mx.array]
"""Called with the array that the noise is for; returns noise of its shape."""


class RandomNoise:
    """Standard normal noise from a key: every call splits off its own key, so call order decides the draws.

    Args:
        key: a key of `mx.random.key`, or a seed.
    """

    def __init__(self, key: mx.array | int) -> None:
        self.key = mx.random.key(key) if isinstance(key, int) else key

    def __call__(self, like: mx.array) -> mx.array:
        """Noise with the shape and dtype of an array."""
        self.key, key = mx.random.split(self.key)
        return mx.random.normal(like.shape, dtype=like.dtype, key=key)


def standardized(noise: NoiseFn) -> NoiseFn:
    """Noise with exact moments, as res_2s wants it by default.

    Draws are standardised as a whole, then each sample over its last two axes (tokens, channels), with
    unbiased standard deviations.
    """

    def draw(like: mx.array) -> mx.array:
        raw = noise(like)
        raw = (raw - precise_mean(raw)) / precise_std(raw)
        sample = raw.ndim - 2
        return (raw - precise_mean(raw, sample)) / precise_std(raw, sample)

    return draw


class Noiser(Protocol):
    """Brings noise into a latent state before the first step."""

    def __call__(self, latent_state: LatentState, noise_scale: float = 1.0) -> LatentState: ...


class GaussianNoiser:
    """Moves the latent towards noise by `noise_scale`, then conditioned tokens back to their clean latent.

    x = latent + noise_scale * (noise - latent), result = clean + mask * (x - clean), in float32: a token with
    mask 0 starts as its clean latent.

    Args:
        noise: draws standard normal noise for the tokens (B, T, D), appended conditioning included.
    """

    def __init__(self, noise: NoiseFn) -> None:
        self.noise = noise

    def __call__(self, latent_state: LatentState, noise_scale: float = 1.0) -> LatentState:
        """The state with its noisy latent, in the latent's dtype.

        Args:
            latent_state: state in token layout.
            noise_scale: noise level to start from: the schedule's first sigma, 0 to leave the latent.
        """
        latent = latent_state.latent
        noise = self.noise(latent).astype(mx.float32)
        noisy = lerp(latent.astype(mx.float32), noise, noise_scale)
        mixed = lerp(latent_state.clean_latent.astype(mx.float32), noisy, latent_state.denoise_mask)
        return latent_state.replace(latent=mixed.astype(latent.dtype))
