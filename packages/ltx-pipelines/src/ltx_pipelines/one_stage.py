"""One stage at full size under multi-modal guidance: prompt, spatio-temporal and modality guidance."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Unpack

from ltx_core import NoiseFn, RandomNoise

from ltx_pipelines.conditioning import encode_images, prepare_images
from ltx_pipelines.config import GuidedConfig
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.guided import encode_guided, guided, guided_plan, guided_sigmas
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import FROM_NOISE, ModalitySpec, StagePlan, denoise, pixel_shape


@dataclass(frozen=True, kw_only=True)
class OneStageConfig(GuidedConfig):
    """A guided clip."""


class OneStagePipeline:
    """Encode the prompts, denoise under guidance (up to four passes per step), decode."""

    name: ClassVar[str] = "one-stage"

    def __init__(self, models: ModelSource) -> None:
        self.models = models
        self.recipe = Recipe(self.name)

    def plan(self, config: GuidedConfig) -> list[StagePlan]:
        """The stages of a run."""
        return [*guided_plan(config, self.models, "denoise"), *decoding_plan(config)]

    def __call__(
        self,
        config: GuidedConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Make a clip in one stage.

        Args:
            on_step: called as each stage begins and advances; may raise `Cancelled`.
            noise: replaces the noise that comes from the seed; called for video, then for audio, with the
                tokens (1, T, D) that it is for.
            store: keeps what the stages have made, and gives back what an earlier run has kept; with noise
                from the seed only.
        """
        models, shape = self.models, pixel_shape(config)
        images = prepare_images(config, models)
        positive, negative = encode_guided(models, config, on_step, store)
        latents = denoise(
            models,
            stage="denoise",
            shape=shape,
            sigmas=guided_sigmas(config, models),
            make_denoiser=guided(config, models, positive, negative, *config.guidance(models.defaults)),
            noise=noise or RandomNoise(config.seed),
            on_step=on_step,
            video=ModalitySpec(encode_images(models, images, shape)),
            audio=FROM_NOISE if config.generate_audio else None,
            store=store,
        )
        return finish(self, config, latents, on_step)


def create_one_stage_pipeline(
    checkpoint: str | Path, gemma: str | Path, **options: Unpack[ModelOptions]
) -> OneStagePipeline:
    """The pipeline on files; arguments and errors as `CheckpointModels`."""
    return OneStagePipeline(CheckpointModels(checkpoint, gemma, **options))
