"""Two stages on a distilled model: 8 steps at half size, latent upscaling x2, 3 steps at full size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import mlx.core as mx
from ltx_core import DISTILLED_SIGMA_VALUES, RandomNoise, SimpleDenoiser
from ltx_core.noisers import NoiseFn

from ltx_pipelines.conditioning import encode_images, prepare_images
from ltx_pipelines.config import ClipConfig, check_steps
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.models import CheckpointModels, Memory, ModelSource
from ltx_pipelines.prompt import encode_prompts
from ltx_pipelines.result import GenerationResult, finish
from ltx_pipelines.stages import (
    FROM_NOISE,
    ModalitySpec,
    StagePlan,
    denoise,
    describe_stage,
    pixel_shape,
    refine,
    refinement_plan,
)


@dataclass(frozen=True, kw_only=True)
class DistilledConfig(ClipConfig):
    """A clip without guidance; its sides are multiples of 64.

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


class DistilledPipeline:
    """Encode the prompt, denoise at half size, upscale the latent, refine it, decode.

    Raises:
        ConfigError: the models have no spatial upscaler.
    """

    def __init__(self, models: ModelSource) -> None:
        models.require_spatial_upsampler()
        self.models = models

    def plan(self, config: DistilledConfig) -> list[StagePlan]:
        """The stages of a run."""
        steps = stage_1_sigmas(config.num_inference_steps).size - 1
        return [
            StagePlan("encode prompt", 1),
            StagePlan("stage 1", steps, describe_stage(config, self.models, steps, 2)),
            *refinement_plan(config, self.models),
            *decoding_plan(config),
        ]

    def __call__(
        self, config: DistilledConfig, *, on_step: OnStep = ignore, noise: NoiseFn | None = None
    ) -> GenerationResult:
        """Make a clip. Arguments as `OneStagePipeline`; `noise` is called for both streams of stage 1, then
        for both of stage 2."""
        models, noise = self.models, noise or RandomNoise(config.seed)
        half, full = pixel_shape(config, 2), pixel_shape(config)
        images = prepare_images(config, models.defaults.image_crf)
        (context,) = encode_prompts(models, [config.prompt], on_step)
        first = denoise(
            models,
            stage="stage 1",
            shape=half,
            sigmas=stage_1_sigmas(config.num_inference_steps),
            make_denoiser=lambda model: SimpleDenoiser(model, context.video, context.audio),
            noise=noise,
            on_step=on_step,
            video=ModalitySpec(encode_images(models, images, half)),
            audio=FROM_NOISE if config.generate_audio else None,
        )
        latents = refine(
            models,
            first,
            shape=full,
            context=context,
            items=encode_images(models, images, full),
            noise=noise,
            on_step=on_step,
        )
        return finish("distilled", models, config, latents, on_step)


def create_distilled_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    spatial_upsampler: str | Path | None,
    *,
    loras: Sequence[LoraPathStrength] = (),
    dtype: str | mx.Dtype | None = None,
    memory: Memory = Memory.FREE,
) -> DistilledPipeline:
    """The pipeline on files; arguments and errors as `CheckpointModels`.

    Raises:
        ConfigError: also if there is no spatial upscaler.
    """
    models = CheckpointModels(checkpoint, gemma, spatial_upsampler, loras=loras, dtype=dtype, memory=memory)
    return DistilledPipeline(models)
