"""Guidance: corrections of the denoised prediction from predictions under worse conditions.

All of it works on x0, the denoised prediction, not on velocities. `cond` is the prediction with the prompt.
"""

from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx

from ltx_core.maths import precise_sum


class GuiderProtocol(Protocol):
    """Computes what is added to `cond`. Deltas of several guiders may be summed."""

    def delta(self, cond: mx.array, uncond: mx.array) -> mx.array:
        """What to add, of the shape of both predictions of x0."""
        ...

    def enabled(self) -> bool:
        """False if the delta is zero whatever the predictions, so that a pass can be saved."""
        ...


@dataclass(frozen=True)
class CFGGuider:
    """Classifier-free guidance: (scale - 1) * (cond - uncond). Scale 1 is neutral."""

    scale: float

    def delta(self, cond: mx.array, uncond: mx.array) -> mx.array:
        """Shape of the predictions, (B, ...)."""
        return (self.scale - 1) * (cond - uncond)

    def enabled(self) -> bool:
        """Whether the scale is not 1."""
        return self.scale != 1.0


@dataclass(frozen=True)
class CFGStarRescalingGuider:
    """CFG* (arXiv:2503.18886): CFG with `uncond` scaled to its best fit of `cond`. Scale 1 is neutral."""

    scale: float

    def delta(self, cond: mx.array, uncond: mx.array) -> mx.array:
        """Shape of the predictions, (B, ...)."""
        return (self.scale - 1) * (cond - projection_coef(cond, uncond) * uncond)

    def enabled(self) -> bool:
        """Whether the scale is not 1."""
        return self.scale != 1.0


@dataclass(frozen=True)
class STGGuider:
    """Spatio-temporal guidance (arXiv:2411.18664): scale * (cond - perturbed). Scale 0 is neutral."""

    scale: float

    def delta(self, pos_denoised: mx.array, perturbed_denoised: mx.array) -> mx.array:
        """Shape of the predictions, (B, ...). The perturbed one skips self-attention in some blocks."""
        return self.scale * (pos_denoised - perturbed_denoised)

    def enabled(self) -> bool:
        """Whether the scale is not 0."""
        return self.scale != 0.0


@dataclass(frozen=True)
class LtxAPGGuider:
    """Adaptive projected guidance (arXiv:2410.02416). Scale 1 is neutral.

    The difference cond - uncond is split into its part along `cond`, weighted with `eta`, and the rest;
    before that its norm is limited to `norm_threshold` if that is above 0.
    """

    scale: float
    eta: float = 1.0
    norm_threshold: float = 0.0

    def delta(self, cond: mx.array, uncond: mx.array) -> mx.array:
        """Shape of the predictions, (B, T, D) or (B, C, F, H, W)."""
        return (self.scale - 1) * _project(cond - uncond, cond, self.eta, self.norm_threshold)

    def enabled(self) -> bool:
        """Whether the scale is not 1."""
        return self.scale != 1.0


@dataclass
class LegacyStatefulAPGGuider:
    """The earlier form of APG, with momentum over the steps. Scale 0 is neutral.

    It remembers: use one per generation and stream. running_avg = momentum * running_avg + (cond - uncond).
    """

    scale: float
    eta: float
    norm_threshold: float = 5.0
    momentum: float = 0.0
    running_avg: mx.array | None = None

    def delta(self, cond: mx.array, uncond: mx.array) -> mx.array:
        """Shape of the predictions, (B, T, D) or (B, C, F, H, W). Each call is one step of the average."""
        guidance = cond - uncond
        if self.momentum != 0:
            if self.running_avg is not None:
                guidance = self.momentum * self.running_avg + guidance
            self.running_avg = guidance
        return self.scale * _project(guidance, cond, self.eta, self.norm_threshold)

    def enabled(self) -> bool:
        """Whether the scale is not 0."""
        return self.scale != 0.0


def _project(guidance: mx.array, cond: mx.array, eta: float, norm_threshold: float) -> mx.array:
    if norm_threshold > 0:
        # Over the last three axes of a latent, as in the reference (one norm per channel). For tokens
        # (B, T, D) that would mix the samples of a batch: over the last two, the same for batch 1.
        norm = mx.sqrt(precise_sum(mx.square(guidance), max(1, guidance.ndim - 3)))
        guidance = guidance * mx.minimum(1.0, norm_threshold / norm)
    parallel = projection_coef(guidance, cond) * cond
    return parallel * eta + (guidance - parallel)


def projection_coef(to_project: mx.array, project_onto: mx.array) -> mx.array:
    """Coefficient of the projection of one array onto another, per sample: (B, 1, ...), all axes kept.

    The reference returns (B, 1), which broadcasts correctly against tokens for batch 1 only.
    """
    return precise_sum(to_project * project_onto, 1) / (precise_sum(mx.square(project_onto), 1) + 1e-8)
