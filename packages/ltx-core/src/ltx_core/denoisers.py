"""From latent states to denoised predictions (x0).

A network is any callable `model(video, audio, perturbations) -> (x0_video, x0_audio)`, where a stream may be
None. From step to step the `Modality` objects it sees carry the *same array objects* for everything that does
not change (context, positions, masks), so it may cache what it derives from them.
"""

from collections.abc import Callable
from typing import Protocol

import mlx.core as mx

from ltx_core.diffusion_steps import Sigmas
from ltx_core.errors import ConfigError
from ltx_core.maths import to_denoised
from ltx_core.perturbations import BatchedPerturbationConfig
from ltx_core.types import LatentState, Modality

Predictions = tuple[mx.array | None, mx.array | None]
Model = Callable[[Modality | None, Modality | None, BatchedPerturbationConfig | None], Predictions]


class Denoiser(Protocol):
    """What the denoising loops call: predictions of x0 for both streams at sigmas[step_index]."""

    def __call__(
        self,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        sigmas: Sigmas,
        step_index: int,
    ) -> Predictions: ...


class X0Model:
    """A velocity network as one that predicts x0: latent - velocity * timesteps, per token."""

    def __init__(self, velocity_model: Model) -> None:
        self.velocity_model = velocity_model

    def __call__(
        self,
        video: Modality | None,
        audio: Modality | None,
        perturbations: BatchedPerturbationConfig | None = None,
    ) -> Predictions:
        """Predictions of x0, (B, T, D) for each stream that is given."""
        velocities = self.velocity_model(video, audio, perturbations)
        video_x0, audio_x0 = (
            None if m is None or v is None else to_denoised(m.latent, v, m.timesteps)
            for m, v in zip((video, audio), velocities, strict=True)
        )
        return video_x0, audio_x0


def timesteps_from_mask(denoise_mask: mx.array, sigma: float) -> mx.array:
    """Noise level of each token, (B, T, 1): denoise mask times sigma."""
    return denoise_mask * sigma


def modality_from_latent_state(
    state: LatentState, context: mx.array, sigma: float, enabled: bool = True
) -> Modality:
    """What the network sees of a state at a noise level; a frozen state is at 0."""
    level = 0.0 if state.frozen else sigma
    return Modality(
        latent=state.latent,
        sigma=mx.full((state.latent.shape[0],), level, dtype=mx.float32),
        timesteps=timesteps_from_mask(state.denoise_mask, level),
        positions=state.positions,
        context=context,
        enabled=enabled,
        attention_mask=state.attention_mask,
        keyframes_mask=state.keyframes_mask,
    )


def require_context(context: mx.array | None, stream: str) -> mx.array:
    """The text embedding of a stream.

    Raises:
        ConfigError: if it is missing.
    """
    if context is None:
        raise ConfigError(f"a {stream} state needs a {stream} context: give the denoiser its text embedding")
    return context


class SimpleDenoiser:
    """One call of the network per step, without guidance.

    Args:
        model: predicts x0 (see `X0Model`).
        v_context: (B, S, E) text embedding for video, None without video.
        a_context: (B, S, E) text embedding for audio, None without audio.
    """

    def __init__(self, model: Model, v_context: mx.array | None, a_context: mx.array | None) -> None:
        self.model = model
        self.v_context = v_context
        self.a_context = a_context

    def __call__(
        self,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        sigmas: Sigmas,
        step_index: int,
    ) -> Predictions:
        """Predictions of x0 for the streams that are given.

        Raises:
            ConfigError: if the context of a stream is missing.
        """
        sigma = float(sigmas[step_index])
        video = audio = None
        if video_state is not None:
            video = modality_from_latent_state(video_state, require_context(self.v_context, "video"), sigma)
        if audio_state is not None:
            audio = modality_from_latent_state(audio_state, require_context(self.a_context, "audio"), sigma)
        return self.model(video, audio, None)
