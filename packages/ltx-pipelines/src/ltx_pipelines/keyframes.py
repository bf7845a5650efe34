"""From one given frame to the next: two stages that images guide without replacing anything of the clip."""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from ltx_core import ConfigError, RandomNoise
from ltx_core.noisers import NoiseFn

from ltx_pipelines.conditioning import encode_keyframes, prepare_images
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.guided import guided_plan, guided_stage
from ltx_pipelines.loras import LoraPathStrength, require_distilled_lora
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.prompt import encode_prompts
from ltx_pipelines.result import GenerationResult, finish
from ltx_pipelines.stages import StagePlan, pixel_shape, refine, refinement_plan
from ltx_pipelines.two_stage import TwoStageConfig


@dataclass(frozen=True, kw_only=True)
class KeyframeInterpolationConfig(TwoStageConfig):
    """A guided clip through images; it needs at least one, and is made for two or more."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.images:
            raise ConfigError(
                "no images: keyframe interpolation needs at least one, usually one at frame 0 and one at "
                "frame -1; for a clip from the prompt alone choose another pipeline"
            )


class KeyframeInterpolationPipeline:
    """Encode the prompts, denoise under guidance at half size, upscale the latent, refine it, decode.

    Every image, also one at frame 0, is appended as a keyframe beside the clip's own frames in both stages.

    Args:
        models: an undistilled model (a distilled one tends to invent frames) with a spatial upscaler.
        distilled_lora: for the second stage alone, after the LoRAs of the models.

    Raises:
        ConfigError: the models have no spatial upscaler, or there is no distilled LoRA.
        LoaderError: the LoRA is for another network.
    """

    def __init__(self, models: ModelSource, distilled_lora: LoraPathStrength | None) -> None:
        self.models = models
        self.distilled_lora = require_distilled_lora(distilled_lora)
        models.require_spatial_upsampler()
        models.check_loras([self.distilled_lora])

    def plan(self, config: KeyframeInterpolationConfig) -> list[StagePlan]:
        """The stages of a run."""
        models = self.models
        refinement = refinement_plan(config, models)
        return [*guided_plan(config, models, "stage 1", 2), *refinement, *decoding_plan(config)]

    def __call__(
        self, config: KeyframeInterpolationConfig, *, on_step: OnStep = ignore, noise: NoiseFn | None = None
    ) -> GenerationResult:
        """Make a clip. Arguments as `TwoStagePipeline`."""
        models, noise = self.models, noise or RandomNoise(config.seed)
        images = prepare_images(config, models.defaults.image_crf)
        positive, negative = encode_prompts(models, [config.prompt, config.negative_prompt], on_step)
        keyframes = encode_keyframes(models, images, pixel_shape(config, 2))
        first = guided_stage(config, models, [positive, negative], keyframes, noise, on_step)
        latents = refine(
            models,
            first,
            shape=pixel_shape(config),
            context=positive,
            items=encode_keyframes(models, images, pixel_shape(config)),
            loras=[self.distilled_lora],
            noise=noise,
            on_step=on_step,
        )
        return finish("keyframes", models, config, latents, on_step)


def create_keyframe_interpolation_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    spatial_upsampler: str | Path,
    distilled_lora: LoraPathStrength,
    **options: Unpack[ModelOptions],
) -> KeyframeInterpolationPipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in the pipeline."""
    models = CheckpointModels(checkpoint, gemma, spatial_upsampler, **options)
    return KeyframeInterpolationPipeline(models, distilled_lora)
