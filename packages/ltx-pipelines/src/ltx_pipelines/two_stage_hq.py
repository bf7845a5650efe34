"""Two stages as in `two_stage`, but by res_2s: a second-order method with fresh noise in every step."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import mlx.core as mx
from ltx_core import LTX2Scheduler, NoiseFn, RandomNoise, Res2sDiffusionStep, StepEvent, standardized
from ltx_core import res2s_audio_video_denoising_loop as res2s_loop
from ltx_core.denoisers import Denoiser
from ltx_core.types import LatentState

from ltx_pipelines.conditioning import encode_images, prepare_images
from ltx_pipelines.config import Guidance
from ltx_pipelines.defaults import PipelineDefaults, high_quality
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.guided import encode_guided, guided_stage, refining_lora
from ltx_pipelines.loras import LoraPathStrength, require_distilled_lora
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import Latents, Loop, StagePlan, pixel_shape, refine, tokens_of
from ltx_pipelines.two_stage import TwoStageConfig, two_stage_plan

# The noise inside the method does not come from the seed of the clip: the official pipeline draws it from
# these two in every stage (the first is its -1).
STEP_SEED = 2**64 - 1
SUBSTEP_SEED = 9999

# Three kinds of guidance, at two points of every step.
PASSES = 3 * 2


@dataclass(frozen=True, kw_only=True)
class TwoStageHQConfig(TwoStageConfig):
    """As `TwoStageConfig`; what is None comes from `high_quality` of the model's defaults."""

    height: int = 1088
    width: int = 1920

    def steps(self, defaults: PipelineDefaults) -> int:
        """Denoising steps of the guided stage, of two predictions each."""
        return super().steps(high_quality(defaults))

    def guidance(self, defaults: PipelineDefaults) -> tuple[Guidance, Guidance]:
        """Guidance of video and audio."""
        return super().guidance(high_quality(defaults))


def res2s(noise: NoiseFn | None) -> Loop:
    """The sampling method of a stage, with its own noise or with noise that serves steps and substeps."""
    step, substep = (
        standardized(noise or RandomNoise(STEP_SEED)),
        standardized(noise or RandomNoise(SUBSTEP_SEED)),
    )

    def loop(
        sigmas: mx.array,
        video: LatentState | None,
        audio: LatentState | None,
        denoiser: Denoiser,
        start: int,
    ) -> Iterator[StepEvent]:
        stepper = Res2sDiffusionStep()
        return res2s_loop(sigmas, video, audio, stepper, denoiser, step, substep, start=start)

    return loop


class TwoStageHQPipeline:
    """Encode the prompts, denoise at half size, upscale, refine, decode; the distilled LoRA in both stages.

    Args:
        models: an undistilled model with a spatial upscaler.
        distilled_lora: after the LoRAs of the models; its own strength does not count.
        distilled_lora_strength_stage_1: how strong it is in the first stage.
        distilled_lora_strength_stage_2: how strong it is in the second.

    Raises:
        ConfigError: the models have no spatial upscaler, or there is no distilled LoRA in the second stage.
        LoaderError: the LoRA is for another network.
    """

    def __init__(
        self,
        models: ModelSource,
        distilled_lora: LoraPathStrength | None,
        distilled_lora_strength_stage_1: float = 0.25,
        distilled_lora_strength_stage_2: float = 0.5,
    ) -> None:
        lora = require_distilled_lora(distilled_lora)
        self.guides = [replace(lora, strength=distilled_lora_strength_stage_1)]
        self.refiners = refining_lora(models, replace(lora, strength=distilled_lora_strength_stage_2))
        self.models = models
        self.recipe = Recipe("two-stage-hq", {"distilled_lora": [*self.guides, *self.refiners]})

    def plan(self, config: TwoStageHQConfig) -> list[StagePlan]:
        """The stages of a run."""
        return two_stage_plan(config, self.models, PASSES)

    def __call__(
        self,
        config: TwoStageHQConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Make a clip by res_2s in both stages.

        Args:
            on_step: called as each stage begins and advances; may raise `Cancelled`.
            noise: replaces all noise. In each stage it is called for the beginning, then in every step for
                its middle and for its end, always for video and then for audio; what it returns for steps is
                brought to mean 0 and deviation 1.
        """
        models, start = self.models, noise or RandomNoise(config.seed)
        images = prepare_images(config, models)
        prompts = encode_guided(models, config, on_step, store)
        # Unlike the other pipelines, the schedule follows the size of the clip.
        sigmas = LTX2Scheduler().execute(
            config.steps(models.defaults), default_number_of_tokens=tokens_of(config, models, 2)
        )
        first = guided_stage(
            config,
            models,
            prompts,
            encode_images(models, images, pixel_shape(config, 2)),
            start,
            on_step,
            loras=self.guides,
            sigmas=sigmas,
            loop=res2s(noise),
            store=store,
        )
        second = refine(
            models,
            first,
            context=prompts[0],
            shape=pixel_shape(config),
            items=encode_images(models, images, pixel_shape(config)),
            noise=start,
            on_step=on_step,
            loras=self.refiners,
            loop=res2s(noise),
            store=store,
        )
        return finish(self, config, Latents(second.video, first.audio), on_step)


def create_two_stage_hq_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    spatial_upsampler: str | Path,
    distilled_lora: LoraPathStrength,
    **options: Unpack[ModelOptions],
) -> TwoStageHQPipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in `TwoStageHQPipeline`."""
    models = CheckpointModels(checkpoint, gemma, spatial_upsampler, **options)
    return TwoStageHQPipeline(models, distilled_lora)
