"""Which attentions a guidance pass skips, per sample of a batch and per transformer block."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import mlx.core as mx


class PerturbationType(IntEnum):
    """What is skipped: self-attention then lets its values through, cross-attention adds nothing."""

    SKIP_VIDEO_SELF_ATTN = 0
    SKIP_AUDIO_SELF_ATTN = 1
    SKIP_A2V_CROSS_ATTN = 2
    SKIP_V2A_CROSS_ATTN = 3


@dataclass(frozen=True)
class Perturbation:
    """One kind of attention, skipped in the given blocks (None: in all of them)."""

    type: PerturbationType
    blocks: Sequence[int] | None

    def is_perturbed(self, perturbation_type: PerturbationType, block: int) -> bool:
        """Whether this skips that attention of that block."""
        return self.type == perturbation_type and (self.blocks is None or block in self.blocks)


@dataclass(frozen=True)
class PerturbationConfig:
    """All perturbations of one sample."""

    perturbations: Sequence[Perturbation] | None

    @staticmethod
    def empty() -> "PerturbationConfig":
        """Nothing is skipped."""
        return PerturbationConfig([])

    def is_perturbed(self, perturbation_type: PerturbationType, block: int) -> bool:
        """Whether any of them skips that attention of that block."""
        return any(p.is_perturbed(perturbation_type, block) for p in self.perturbations or ())


@dataclass(frozen=True)
class BatchedPerturbationConfig:
    """The perturbations of each sample of a batch.

    `any_in_batch` and `all_in_batch` are answered from Python data, without waiting for the device; `mask`
    returns the same array object for the same pattern of samples, so blocks share it.
    """

    perturbations: Sequence[PerturbationConfig]
    _masks: dict[tuple[tuple[bool, ...], mx.Dtype], mx.array] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @staticmethod
    def empty(batch_size: int) -> "BatchedPerturbationConfig":
        """Nothing is skipped in any of the samples."""
        return BatchedPerturbationConfig([PerturbationConfig.empty()] * batch_size)

    def _perturbed(self, perturbation_type: PerturbationType, block: int) -> tuple[bool, ...]:
        return tuple(config.is_perturbed(perturbation_type, block) for config in self.perturbations)

    def mask(self, perturbation_type: PerturbationType, block: int, dtype: mx.Dtype = mx.float32) -> mx.array:
        """(B, 1, 1): 1 for samples that keep that attention of that block, 0 for those that skip it."""
        perturbed = self._perturbed(perturbation_type, block)
        key = (perturbed, dtype)
        if key not in self._masks:
            self._masks[key] = mx.array([0.0 if p else 1.0 for p in perturbed], dtype=dtype).reshape(-1, 1, 1)
        return self._masks[key]

    def any_in_batch(self, perturbation_type: PerturbationType, block: int) -> bool:
        """Whether at least one sample skips it."""
        return any(self._perturbed(perturbation_type, block))

    def all_in_batch(self, perturbation_type: PerturbationType, block: int) -> bool:
        """Whether every sample skips it."""
        return all(self._perturbed(perturbation_type, block))

    def batch_slice(self, start: int, end: int) -> "BatchedPerturbationConfig":
        """The perturbations of samples start..end - 1."""
        return BatchedPerturbationConfig(self.perturbations[start:end])
