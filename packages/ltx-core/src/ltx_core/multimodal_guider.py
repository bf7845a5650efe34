"""Guidance of one stream of a joint generation from up to four predictions, and its parameters."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import mlx.core as mx

from ltx_core.errors import ConfigError
from ltx_core.maths import precise_std


@dataclass(frozen=True)
class MultiModalGuiderParams:
    """Guidance of one stream; the defaults are neutral.

    Attributes:
        cfg_scale: classifier-free guidance, towards the prompt; 1 is neutral.
        stg_scale: spatio-temporal guidance, away from a prediction without self-attention in some blocks; 0
            is neutral.
        stg_blocks: transformer blocks that skip self-attention for STG; None: all of them.
        rescale_scale: how far the guided prediction is scaled back to the standard deviation of the
            unguided one; 0 is neutral.
        modality_scale: guidance away from a prediction without the other stream; 1 is neutral.
        skip_step: after each computed step, this many steps reuse its guided prediction.
    """

    cfg_scale: float = 1.0
    stg_scale: float = 0.0
    stg_blocks: Sequence[int] | None = field(default_factory=list)
    rescale_scale: float = 0.0
    modality_scale: float = 1.0
    skip_step: int = 0


@dataclass(frozen=True, eq=False)
class MultiModalGuider:
    """Guidance with fixed parameters; `negative_context` (B, S, E) embeds the negative prompt, if any."""

    params: MultiModalGuiderParams
    negative_context: mx.array | None = None

    def calculate(
        self,
        cond: mx.array,
        uncond_text: mx.array | float,
        uncond_perturbed: mx.array | float,
        uncond_modality: mx.array | float,
    ) -> mx.array:
        """Guided prediction, shape and dtype of `cond`; computed in float32.

        cond + (cfg - 1)(cond - text) + stg (cond - perturbed) + (modality - 1)(cond - isolated), then scaled
        by r std(cond) / std(result) + 1 - r, with unbiased standard deviations over the whole array.

        Args:
            cond: prediction with the prompt.
            uncond_text: with the negative prompt.
            uncond_perturbed: with self-attention skipped.
            uncond_modality: with the streams isolated from each other. A prediction whose scale is neutral
                may be 0.0.
        """
        x = cond.astype(mx.float32)

        def minus(other: mx.array | float) -> mx.array:
            return x - (other.astype(mx.float32) if isinstance(other, mx.array) else other)

        p = self.params
        pred = (
            x
            + (p.cfg_scale - 1) * minus(uncond_text)
            + p.stg_scale * minus(uncond_perturbed)
            + (p.modality_scale - 1) * minus(uncond_modality)
        )
        if p.rescale_scale != 0:
            factor = precise_std(x) / precise_std(pred)
            pred = pred * (p.rescale_scale * factor + (1 - p.rescale_scale))
        return pred.astype(cond.dtype)

    def do_unconditional_generation(self) -> bool:
        """Whether the prediction with the negative prompt is needed."""
        return not math.isclose(self.params.cfg_scale, 1.0)

    def do_perturbed_generation(self) -> bool:
        """Whether the prediction with skipped self-attention is needed."""
        return not math.isclose(self.params.stg_scale, 0.0)

    def do_isolated_modality_generation(self) -> bool:
        """Whether the prediction with isolated streams is needed."""
        return not math.isclose(self.params.modality_scale, 1.0)

    def should_skip_step(self, step: int) -> bool:
        """Whether this step reuses the last guided prediction."""
        return step % (self.params.skip_step + 1) != 0


@dataclass(frozen=True, eq=False)
class MultiModalGuiderFactory:
    """Guidance whose parameters depend on sigma; make one with `constant` or `from_dict`.

    `params_by_sigma` holds (upper bound of the bin, parameters), descending.
    """

    params_by_sigma: tuple[tuple[float, MultiModalGuiderParams], ...]
    negative_context: mx.array | None = None

    def __post_init__(self) -> None:
        if not self.params_by_sigma:
            raise ConfigError("guidance by sigma needs at least one (upper bound, parameters) entry")

    @classmethod
    def constant(
        cls, params: MultiModalGuiderParams, negative_context: mx.array | None = None
    ) -> "MultiModalGuiderFactory":
        """The same parameters at every sigma."""
        return cls(((math.inf, params),), negative_context)

    @classmethod
    def from_dict(
        cls, sigma_to_params: Mapping[float, MultiModalGuiderParams], negative_context: mx.array | None = None
    ) -> "MultiModalGuiderFactory":
        """Parameters per bin of sigma: each key is the (inclusive) upper bound of its bin.

        Raises:
            ConfigError: if there is no entry.
        """
        return cls(
            tuple(sorted(sigma_to_params.items(), reverse=True, key=lambda item: item[0])), negative_context
        )

    def params(self, sigma: float) -> MultiModalGuiderParams:
        """Parameters of the bin that holds sigma: smallest bound at or above it, else the largest bound."""
        above = [params for bound, params in self.params_by_sigma if bound >= sigma]
        return above[-1] if above else self.params_by_sigma[0][1]

    def build_from_sigma(self, sigma: float) -> MultiModalGuider:
        """The guider for a step at this sigma."""
        return MultiModalGuider(self.params(sigma), self.negative_context)


def create_multimodal_guider_factory(
    params: MultiModalGuiderParams | MultiModalGuiderFactory, negative_context: mx.array | None = None
) -> MultiModalGuiderFactory:
    """A factory from parameters or from another factory, with `negative_context` in place if it is given."""
    if isinstance(params, MultiModalGuiderParams):
        return MultiModalGuiderFactory.constant(params, negative_context)
    if negative_context is None:
        return params
    return MultiModalGuiderFactory(params.params_by_sigma, negative_context)
