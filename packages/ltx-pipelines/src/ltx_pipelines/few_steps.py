"""What the pipelines on distilled models share: schedule, plan, and the first stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import mlx.core as mx
from ltx_core import DISTILLED_SIGMA_VALUES, NoiseFn
from ltx_core.conditioning import ConditioningItem

from ltx_pipelines.config import ClipConfig, check_steps
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.events import OnStep
from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.models import ModelSource
from ltx_pipelines.prompt import PromptContext
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import (
    FROM_NOISE,
    Latents,
    ModalitySpec,
    StagePlan,
    denoise,
    describe_stage,
    pixel_shape,
    refinement_plan,
    unguided,
)


@dataclass(frozen=True, kw_only=True)
class FewStepsConfig(ClipConfig):
    """A clip without guidance, in two stages; its sides are multiples of 64.

    Attributes:
        num_inference_steps: steps of the first stage, at most 8; fewer keep the head of the schedule and end
            at 0 all the same. The second stage always has 3.
    """

    size_multiple: ClassVar[int] = 64

    height: int = 1024
    width: int = 1536
    num_inference_steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.num_inference_steps, range(1, len(DISTILLED_SIGMA_VALUES)))


def stage_1_sigmas(steps: int | None) -> mx.array:
    """The head of the distilled schedule, always ending at 0."""
    head = DISTILLED_SIGMA_VALUES[:-1][:steps]
    return mx.array([*head, 0.0], mx.float32)


def first_stage(
    models: ModelSource,
    config: FewStepsConfig,
    context: PromptContext,
    items: Sequence[ConditioningItem],
    noise: NoiseFn,
    on_step: OnStep,
    *,
    loras: Sequence[LoraPathStrength] = (),
    store: StageStore | None = None,
) -> Latents:
    """Few steps at half size, without guidance.

    Args:
        items: conditioning of the video at this size.
        loras: of this stage alone.
    """
    return denoise(
        models,
        stage="stage 1",
        shape=pixel_shape(config, 2),
        sigmas=stage_1_sigmas(config.num_inference_steps),
        make_denoiser=unguided(context),
        noise=noise,
        on_step=on_step,
        video=ModalitySpec(items),
        audio=FROM_NOISE if config.generate_audio else None,
        loras=loras,
        store=store,
    )


def few_steps_plan(config: FewStepsConfig, models: ModelSource, *, refined: bool = True) -> list[StagePlan]:
    """Encoding the prompt, `first_stage`, `refine` if it follows, decoding."""
    steps = stage_1_sigmas(config.num_inference_steps).size - 1
    return [
        StagePlan("encode prompt", 1),
        StagePlan("stage 1", steps, describe_stage(config, models, steps, 2)),
        *(refinement_plan(config, models) if refined else ()),
        *decoding_plan(config),
    ]
