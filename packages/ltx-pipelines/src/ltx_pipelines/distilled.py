"""Two stages on a distilled model: 8 steps at half size, latent upscaling x2, 3 steps at full size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from ltx_core import NoiseFn, RandomNoise

from ltx_pipelines.conditioning import encode_images, prepare_images
from ltx_pipelines.distillation import require_distilled
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.few_steps import FewStepsConfig, few_steps_plan, first_stage
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.prompt import encode_prompts
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import StagePlan, pixel_shape, refine


@dataclass(frozen=True, kw_only=True)
class DistilledConfig(FewStepsConfig):
    """A clip by a distilled model."""


class DistilledPipeline:
    """Encode the prompt, denoise at half size, upscale the latent, refine it, decode.

    Raises:
        ConfigError: the models have no spatial upscaler, or are known not to be distilled.
    """

    def __init__(self, models: ModelSource) -> None:
        models.require_spatial_upsampler()
        require_distilled(models)
        self.models = models
        self.recipe = Recipe("distilled")

    def plan(self, config: DistilledConfig) -> list[StagePlan]:
        """The stages of a run."""
        return few_steps_plan(config, self.models)

    def __call__(
        self,
        config: DistilledConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Make a clip in few steps. Arguments as `OneStagePipeline`; `noise` is called for both streams of
        stage 1, then for both of stage 2."""
        models, noise = self.models, noise or RandomNoise(config.seed)
        half, full = pixel_shape(config, 2), pixel_shape(config)
        images = prepare_images(config, models)
        (context,) = encode_prompts(models, [config.prompt], on_step, store)
        items = encode_images(models, images, half)
        first = first_stage(models, config, context, items, noise, on_step, store=store)
        items = encode_images(models, images, full)
        latents = refine(
            models, first, shape=full, context=context, items=items, noise=noise, on_step=on_step, store=store
        )
        return finish(self, config, latents, on_step)


def create_distilled_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    spatial_upsampler: str | Path | None,
    **options: Unpack[ModelOptions],
) -> DistilledPipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in `DistilledPipeline`."""
    return DistilledPipeline(CheckpointModels(checkpoint, gemma, spatial_upsampler, **options))
