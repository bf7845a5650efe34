"""Two stages: guided at half size, latent upscaling x2, a few steps with the distilled LoRA at full size."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Unpack

from ltx_core import RandomNoise
from ltx_core.noisers import NoiseFn

from ltx_pipelines.conditioning import encode_images, prepare_images
from ltx_pipelines.config import GuidedConfig
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.guided import guided_plan, guided_stage
from ltx_pipelines.loras import LoraPathStrength, require_distilled_lora
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.prompt import encode_prompts
from ltx_pipelines.result import GenerationResult, finish
from ltx_pipelines.stages import Latents, StagePlan, pixel_shape, refine, refinement_plan


@dataclass(frozen=True, kw_only=True)
class TwoStageConfig(GuidedConfig):
    """A guided clip; its sides are multiples of 64. The guided stage works at half of them."""

    size_multiple: ClassVar[int] = 64

    height: int = 1024
    width: int = 1536


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
        models.require_spatial_upsampler()
        self.models = models
        self.refiners = [require_distilled_lora(distilled_lora)]
        models.check_loras(self.refiners)

    def plan(self, config: TwoStageConfig) -> list[StagePlan]:
        """The stages of a run."""
        first = guided_plan(config, self.models, "stage 1", divisor=2)
        return [*first, *refinement_plan(config, self.models), *decoding_plan(config)]

    def __call__(
        self, config: TwoStageConfig, *, on_step: OnStep = ignore, noise: NoiseFn | None = None
    ) -> GenerationResult:
        """Make a clip. Arguments as `OneStagePipeline`; `noise` is called for both streams of stage 1, then
        for both of stage 2."""
        models, noise = self.models, noise or RandomNoise(config.seed)
        half, full = pixel_shape(config, 2), pixel_shape(config)
        images = prepare_images(config, models.defaults.image_crf)
        prompts = encode_prompts(models, [config.prompt, config.negative_prompt], on_step)
        items = encode_images(models, images, half)
        first = guided_stage(config, models, prompts, items, noise, on_step)
        refined = refine(
            models,
            first,
            shape=full,
            context=prompts[0],
            items=encode_images(models, images, full),
            noise=noise,
            on_step=on_step,
            loras=self.refiners,
        )
        # The second stage only listens to the sound: it is finished after the first.
        return finish("two-stage", models, config, Latents(refined.video, first.audio), on_step)


def create_two_stage_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    spatial_upsampler: str | Path,
    distilled_lora: LoraPathStrength,
    **options: Unpack[ModelOptions],
) -> TwoStagePipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in `TwoStagePipeline`."""
    return TwoStagePipeline(CheckpointModels(checkpoint, gemma, spatial_upsampler, **options), distilled_lora)
