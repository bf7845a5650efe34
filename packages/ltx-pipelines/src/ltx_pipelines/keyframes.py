"""From one given frame to the next: two stages that images guide without replacing anything of the clip."""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from ltx_core import ConfigError, NoiseFn, RandomNoise

from ltx_pipelines.conditioning import encode_keyframes, prepare_images
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.guided import encode_guided, guided_stage, refining_lora
from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import StagePlan, pixel_shape, refine
from ltx_pipelines.two_stage import TwoStageConfig, two_stage_plan


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
        distilled_lora: as in `TwoStagePipeline`, with the same errors.
    """

    def __init__(self, models: ModelSource, distilled_lora: LoraPathStrength | None) -> None:
        self.loras = refining_lora(models, distilled_lora)
        self.models = models
        self.recipe = Recipe("keyframes", {"distilled_lora": self.loras})

    def plan(self, config: KeyframeInterpolationConfig) -> list[StagePlan]:
        """The stages of a run."""
        return two_stage_plan(config, self.models)

    def __call__(
        self,
        config: KeyframeInterpolationConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Make a clip between its images. Arguments as `TwoStagePipeline`."""
        models, noise = self.models, noise or RandomNoise(config.seed)
        images = prepare_images(config, models)
        prompts = encode_guided(models, config, on_step, store)
        keyframes = encode_keyframes(models, images, pixel_shape(config, 2))
        first = guided_stage(config, models, prompts, keyframes, noise, on_step, store=store)
        latents = refine(
            models,
            first,
            shape=pixel_shape(config),
            context=prompts[0],
            items=encode_keyframes(models, images, pixel_shape(config)),
            loras=self.loras,
            noise=noise,
            on_step=on_step,
            store=store,
        )
        return finish(self, config, latents, on_step)


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
