"""Two stages: guided at half size, latent upscaling x2, a few steps with the distilled LoRA at full size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from ltx_core import NoiseFn, RandomNoise

from ltx_pipelines.conditioning import encode_images, prepare_images
from ltx_pipelines.config import GuidedConfig
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.guided import MAX_PASSES, encode_guided, guided_plan, guided_stage, refining_lora
from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import Latents, StagePlan, pixel_shape, refine, refinement_plan


@dataclass(frozen=True, kw_only=True)
class TwoStageConfig(GuidedConfig):
    """A guided clip; its sides are multiples of 64. The guided stage works at half of them."""

    size_multiple = 64

    height: int = 1024
    width: int = 1536


def two_stage_plan(config: GuidedConfig, models: ModelSource, passes: int = MAX_PASSES) -> list[StagePlan]:
    """All of a run with `guided_stage` and `refine`."""
    first = guided_plan(config, models, "stage 1", 2, passes)
    return [*first, *refinement_plan(config, models), *decoding_plan(config)]


class TwoStagePipeline:
    """Encode the prompts, denoise under guidance at half size, upscale the latent, refine it, decode.

    Args:
        models: an undistilled model with a spatial upscaler.
        distilled_lora: for the second stage alone, after the LoRAs of the models.

    Raises:
        ConfigError: the models have no spatial upscaler, or there is no distilled LoRA.
        LoaderError: the LoRA is for another network.
    """

    def __init__(self, models: ModelSource, distilled_lora: LoraPathStrength | None) -> None:
        self.models = models
        self.loras = refining_lora(models, distilled_lora)
        self.recipe = Recipe("two-stage", {"distilled_lora": self.loras})

    def plan(self, config: TwoStageConfig) -> list[StagePlan]:
        """The stages of a run."""
        return two_stage_plan(config, self.models)

    def __call__(
        self,
        config: TwoStageConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Make a clip, guided at half its size. Arguments as `OneStagePipeline`; `noise` is called for both
        streams of stage 1, then for both of stage 2."""
        models = self.models
        draw = noise or RandomNoise(config.seed)
        half, full = pixel_shape(config, 2), pixel_shape(config)
        images = prepare_images(config, models)
        prompts = encode_guided(models, config, on_step, store)
        items = encode_images(models, images, half)
        first = guided_stage(config, models, prompts, items, draw, on_step, store=store)
        second = refine(
            models,
            first,
            shape=full,
            items=encode_images(models, images, full),
            context=prompts[0],
            noise=draw,
            on_step=on_step,
            loras=self.loras,
            store=store,
        )
        # The second stage only listens to the sound: it is finished after the first.
        latents = Latents(second.video, first.audio)
        return finish(self, config, latents, on_step)


def create_two_stage_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    spatial_upsampler: str | Path,
    distilled_lora: LoraPathStrength,
    **options: Unpack[ModelOptions],
) -> TwoStagePipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in `TwoStagePipeline`."""
    return TwoStagePipeline(CheckpointModels(checkpoint, gemma, spatial_upsampler, **options), distilled_lora)
