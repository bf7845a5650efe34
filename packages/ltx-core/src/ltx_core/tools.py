"""From an empty or given latent to a state that can be denoised, and back."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from ltx_core.errors import ShapeError
from ltx_core.noisers import Noiser
from ltx_core.patchifiers import (
    AudioPatchifier,
    Patchifier,
    VideoLatentPatchifier,
    get_pixel_coords,
    to_positions,
)
from ltx_core.types import (
    VIDEO_SCALE_FACTORS,
    AudioLatentShape,
    LatentState,
    SpatioTemporalScaleFactors,
    VideoLatentShape,
)

if TYPE_CHECKING:
    from ltx_core.conditioning.item import ConditioningItem


@dataclass(frozen=True)
class LatentTools(ABC):
    """Makes and unmakes the states of one stream; knows the latent that is to be generated.

    Attributes:
        patchifier: between latents and tokens.
        target_shape: the latent to generate.
    """

    patchifier: Patchifier[Any]
    target_shape: VideoLatentShape | AudioLatentShape

    @abstractmethod
    def positions(self) -> mx.array:
        """(B, axes, T, 2) float32: where the target's tokens lie."""

    def keyframes_mask(self) -> mx.array | None:
        """(B, T, 1): the target's tokens that stand for a single pixel frame, or None."""
        return None

    @property
    def num_tokens(self) -> int:
        """Tokens of the target, without appended conditioning."""
        return self.patchifier.get_token_count(self.target_shape)

    def create_initial_state(
        self, dtype: mx.Dtype = mx.float32, initial_latent: mx.array | None = None
    ) -> LatentState:
        """A state in token layout, all of it to be generated.

        Args:
            dtype: of the zeros that stand for a missing latent.
            initial_latent: of `target_shape`, or None.

        Raises:
            ShapeError: if the initial latent has another shape, or the target shape is not possible.
        """
        shape = self.target_shape.to_shape()
        latent = mx.zeros(shape, dtype) if initial_latent is None else initial_latent
        state = LatentState(
            latent=latent,
            denoise_mask=mx.ones(self.target_shape.mask_shape().to_shape()),
            positions=self.positions(),
            clean_latent=latent,
        )
        return self.patchify(state).replace(keyframes_mask=self.keyframes_mask())

    def patchify(self, latent_state: LatentState) -> LatentState:
        """The state in token layout.

        Raises:
            ShapeError: if its latent is not of `target_shape`.
        """
        if latent_state.latent.shape != self.target_shape.to_shape():
            raise ShapeError(
                f"latent {latent_state.latent.shape} does not have the target shape {self.target_shape}"
            )
        split = self.patchifier.patchify
        marks = latent_state.keyframes_mask
        return latent_state.replace(
            latent=split(latent_state.latent),
            clean_latent=split(latent_state.clean_latent),
            denoise_mask=split(latent_state.denoise_mask),
            keyframes_mask=None if marks is None else split(marks),
        )

    def unpatchify(self, latent_state: LatentState) -> LatentState:
        """The state in latent layout; `clear_conditioning` first if tokens were appended.

        Raises:
            ShapeError: if there are not exactly the tokens of `target_shape`.
        """
        join, shape, mask_shape = (
            self.patchifier.unpatchify,
            self.target_shape,
            self.target_shape.mask_shape(),
        )
        marks = latent_state.keyframes_mask
        return latent_state.replace(
            latent=join(latent_state.latent, shape),
            clean_latent=join(latent_state.clean_latent, shape),
            denoise_mask=join(latent_state.denoise_mask, mask_shape),
            keyframes_mask=None if marks is None else join(marks, mask_shape),
        )

    def clear_conditioning(self, latent_state: LatentState) -> LatentState:
        """The target's tokens alone, without masks, all of them to be generated."""
        count = self.num_tokens
        return latent_state.replace(
            latent=latent_state.latent[:, :count],
            denoise_mask=mx.ones_like(latent_state.denoise_mask[:, :count]),
            positions=latent_state.positions[:, :, :count],
            clean_latent=latent_state.clean_latent[:, :count],
            attention_mask=None,
            keyframes_mask=None,
        )


@dataclass(frozen=True)
class VideoLatentTools(LatentTools):
    """For video latents (B, C, F, H, W).

    Attributes:
        fps: frames per second, for positions in seconds.
        scale_factors: pixels per latent.
        causal_fix: whether the first latent frame is a single pixel frame.
    """

    patchifier: VideoLatentPatchifier
    target_shape: VideoLatentShape
    fps: float
    scale_factors: SpatioTemporalScaleFactors = VIDEO_SCALE_FACTORS
    causal_fix: bool = True

    def positions(self) -> mx.array:
        """(B, 3, T, 2) float32: seconds, pixel rows, pixel columns."""
        bounds = self.patchifier.get_patch_grid_bounds(self.target_shape)
        return to_positions(get_pixel_coords(bounds, self.scale_factors, self.causal_fix), self.fps)

    def keyframes_mask(self) -> mx.array:
        """(B, T, 1): 1 in the first latent frame, which the causal VAE makes from one pixel frame."""
        first = self.patchifier.get_token_count(self.target_shape._replace(frames=1))
        marks = (mx.arange(self.num_tokens) < first).astype(mx.float32).reshape(1, -1, 1)
        return mx.broadcast_to(marks, (self.target_shape.batch, *marks.shape[1:]))


@dataclass(frozen=True)
class AudioLatentTools(LatentTools):
    """For audio latents (B, C, T, M)."""

    patchifier: AudioPatchifier
    target_shape: AudioLatentShape

    def positions(self) -> mx.array:
        """(B, 1, T, 2) float32: seconds."""
        return self.patchifier.get_patch_grid_bounds(self.target_shape)


def state_with_conditionings(
    latent_state: LatentState, conditioning_items: Sequence["ConditioningItem"], latent_tools: LatentTools
) -> LatentState:
    """Apply conditioning items in order.

    Raises:
        ConditioningError: if one of them does not fit the state.
    """
    for item in conditioning_items:
        latent_state = item.apply_to(latent_state, latent_tools)
    return latent_state


def create_noised_state(
    tools: LatentTools,
    conditionings: Sequence["ConditioningItem"],
    noiser: Noiser,
    dtype: mx.Dtype = mx.float32,
    noise_scale: float = 1.0,
    initial_latent: mx.array | None = None,
    frozen: bool = False,
) -> LatentState:
    """A state ready for the first step: initial latent, conditioning items, then noise.

    Args:
        tools: of the stream.
        conditionings: applied in order.
        noiser: brings the noise in.
        dtype: of the state.
        noise_scale: the schedule's first sigma; for a frozen stream 0, else it starts from noise although the
            network is told that it is clean.
        initial_latent: (B, C, ...) to start from, or None for zeros.
        frozen: keep the stream as it is, as a guide for the other one.

    Raises:
        ShapeError: if the initial latent has another shape than the tools' target.
        ConditioningError: if an item does not fit the state.
    """
    state = tools.create_initial_state(dtype, initial_latent)
    state = noiser(state_with_conditionings(state, conditionings, tools), noise_scale)
    if frozen:
        state = state.replace(denoise_mask=mx.zeros_like(state.denoise_mask), frozen=True)
    return state
