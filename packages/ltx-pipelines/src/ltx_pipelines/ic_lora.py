"""In-context LoRAs on a distilled model: a reference video beside the clip in stage 1, then as distilled."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from ltx_core import ConfigError, NoiseFn, RandomNoise

from ltx_pipelines.conditioning import encode_images, prepare_images
from ltx_pipelines.distillation import require_distilled
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.few_steps import FewStepsConfig, few_steps_plan, first_stage
from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.prompt import encode_prompts
from ltx_pipelines.references import (
    AttentionStrength,
    ReferenceScale,
    ReferenceVideo,
    check_masks,
    encode_references,
    references_plan,
)
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import StagePlan, pixel_shape, refine


@dataclass(frozen=True, kw_only=True)
class ICLoraConfig(FewStepsConfig):
    """A clip after reference videos.

    Attributes:
        video_conditioning: the references, of the kind that the LoRA was trained for.
        conditioning_attention_strength: how strongly clip and references attend to each other, 0 to 1.
        conditioning_attention_mask: the same by place and time: (F, H, W) in [0, 1] over the pixels of a
            reference, or a video file of that; it is multiplied with the strength.
        skip_stage_2: end after the first stage: half the height and width, and no upscaler needed.
    """

    video_conditioning: tuple[ReferenceVideo, ...]
    conditioning_attention_strength: float = 1.0
    conditioning_attention_mask: str | Path | np.ndarray | None = None
    skip_stage_2: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.video_conditioning:
            raise ConfigError("video_conditioning is empty; give a reference, or use the distilled pipeline")
        for reference in self.video_conditioning:
            reference.num_frames(self.num_frames)
        self.attention.num_frames(self.num_frames)

    @property
    def starts_from_pictures(self) -> bool:
        """Always: from those of the references."""
        return True

    @cached_property
    def attention(self) -> AttentionStrength:
        """Both attention arguments."""
        return AttentionStrength(self.conditioning_attention_strength, self.conditioning_attention_mask)

    def summary(self) -> str:
        """What is made, in a line for people."""
        whole, half = f"{self.width}x{self.height}", f"{self.width // 2}x{self.height // 2}"
        return super().summary().replace(whole, half) if self.skip_stage_2 else super().summary()

    def settings(self) -> dict[str, Any]:
        """The fields as plain values, for records."""
        references = [reference.describe() for reference in self.video_conditioning]
        mask = self.attention.describe()["mask"]
        changes = {"video_conditioning": references, "conditioning_attention_mask": mask}
        return {**super().settings(), **changes}


class ICLoraPipeline:
    """Encode prompt and references, denoise at half size with the LoRA, refine without it, decode.

    Args:
        models: of a distilled model; LoRAs that they carry are in both stages.
        loras: in-context LoRAs, which are in the first stage alone.

    Raises:
        ConfigError: there is no LoRA, or several contradict each other, or the models are known not to be
            distilled.
        LoaderError: a LoRA is missing, damaged, or for another network.
    """

    def __init__(self, models: ModelSource, loras: Sequence[LoraPathStrength]) -> None:
        if not loras:
            raise ConfigError("an in-context LoRA is needed; without one, use the distilled pipeline")
        require_distilled(models)
        if late := [lora for lora in loras if lora.second is not None]:
            raise ConfigError(
                f"{Path(late[0].path).name} was given the strength {late[0].second:g} for the second stage; "
                "in-context LoRAs work in the first one alone, give them one strength"
            )
        self.models, self.loras = models, tuple(loras)
        self.recipe = Recipe("ic-lora", {"ic_loras": self.loras})
        self.scale = ReferenceScale.of(self.loras)
        models.check_loras(self.loras)

    def _check(self, config: ICLoraConfig) -> None:
        """Find what does not fit LoRA and models before any network is loaded."""
        half = pixel_shape(config, 2)
        if not config.skip_stage_2:
            self.models.require_spatial_upsampler()
        self.scale.check_size(config.height, config.width)
        factors = self.models.layout.scale_factors
        check_masks(config.video_conditioning, config.attention, self.scale, half, factors)

    def plan(self, config: ICLoraConfig) -> list[StagePlan]:
        """The stages of a run. Raises ConfigError if the config does not fit LoRA or models."""
        self._check(config)
        prompt, *rest = few_steps_plan(config, self.models, refined=not config.skip_stage_2)
        return [prompt, references_plan(config.video_conditioning), *rest]

    def __call__(
        self,
        config: ICLoraConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Make a clip. Arguments as `DistilledPipeline`; the references' tokens stand behind all others.

        Raises:
            ConfigError: the size does not fit the LoRA, or the mask its reference.
        """
        self._check(config)
        models, noise = self.models, noise or RandomNoise(config.seed)
        half, full = pixel_shape(config, 2), pixel_shape(config)
        images = prepare_images(config, models)
        (context,) = encode_prompts(models, [config.prompt], on_step, store)
        items = [
            *encode_images(models, images, half),
            *encode_references(
                models, config.video_conditioning, half, self.scale, config.attention, on_step
            ),
        ]
        latents = first_stage(models, config, context, items, noise, on_step, loras=self.loras, store=store)
        if not config.skip_stage_2:
            items = encode_images(models, images, full)
            latents = refine(
                models,
                latents,
                shape=full,
                context=context,
                items=items,
                noise=noise,
                on_step=on_step,
                store=store,
            )
        return finish(self, config, latents, on_step)


def create_ic_lora_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    spatial_upsampler: str | Path | None,
    ic_loras: Sequence[LoraPathStrength],
    **options: Unpack[ModelOptions],
) -> ICLoraPipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in `ICLoraPipeline`.

    Among the options, `loras` are for both stages, such as the distilled one on a checkpoint that is not.
    """
    return ICLoraPipeline(CheckpointModels(checkpoint, gemma, spatial_upsampler, **options), ic_loras)
