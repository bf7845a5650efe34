"""One stage at full size under multi-modal guidance: prompt, spatio-temporal and modality guidance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mlx.core as mx
from ltx_core import MultiModalGuiderParams, RandomNoise
from ltx_core.noisers import NoiseFn

from ltx_pipelines.config import ClipConfig, check_steps
from ltx_pipelines.defaults import NEGATIVE_PROMPT
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.guided import guided_latents, guided_plan, guided_steps
from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.models import CheckpointModels, Memory, ModelSource
from ltx_pipelines.result import GenerationResult, finish
from ltx_pipelines.stages import StagePlan


@dataclass(frozen=True, kw_only=True)
class OneStageConfig(ClipConfig):
    """A guided clip; what is None comes from the model.

    Attributes:
        negative_prompt: what to stay away from.
        num_inference_steps: denoising steps.
        video_guidance, audio_guidance: all guidance parameters of a stream at once.
        cfg_scale, audio_cfg_scale: guidance of picture and sound towards the prompt, in place of the above
            value; 1 is none.
        stg_scale: spatio-temporal guidance of both streams, likewise; 0 is none.
    """

    negative_prompt: str = NEGATIVE_PROMPT
    num_inference_steps: int | None = None
    video_guidance: MultiModalGuiderParams | None = None
    audio_guidance: MultiModalGuiderParams | None = None
    cfg_scale: float | None = None
    audio_cfg_scale: float | None = None
    stg_scale: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.num_inference_steps, range(2, 1001))


def _override(
    params: MultiModalGuiderParams, cfg_scale: float | None, stg_scale: float | None
) -> MultiModalGuiderParams:
    if cfg_scale is not None:
        params = replace(params, cfg_scale=cfg_scale)
    return params if stg_scale is None else replace(params, stg_scale=stg_scale)


class OneStagePipeline:
    """Encode the prompts, denoise under guidance (up to four passes per step), decode."""

    def __init__(self, models: ModelSource) -> None:
        self.models = models

    def plan(self, config: OneStageConfig) -> list[StagePlan]:
        """The stages of a run."""
        return guided_plan(
            config, self.models, guided_steps(config.num_inference_steps, self.models), "up to 4 passes each"
        )

    def __call__(
        self, config: OneStageConfig, *, on_step: OnStep = ignore, noise: NoiseFn | None = None
    ) -> GenerationResult:
        """Make a clip. Arguments as `TextToVideoPipeline`."""
        defaults = self.models.defaults
        video, audio = config.video_guidance or defaults.video, config.audio_guidance or defaults.audio
        latents = guided_latents(
            config,
            self.models,
            negative_prompt=config.negative_prompt,
            steps=guided_steps(config.num_inference_steps, self.models),
            video=_override(video, config.cfg_scale, config.stg_scale),
            audio=_override(audio, config.audio_cfg_scale, config.stg_scale),
            noise=noise or RandomNoise(config.seed),
            on_step=on_step,
        )
        return finish("one-stage", self.models, config, latents, on_step)


def create_one_stage_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    *,
    loras: Sequence[LoraPathStrength] = (),
    dtype: str | mx.Dtype | None = None,
    memory: Memory = Memory.FREE,
) -> OneStagePipeline:
    """The pipeline on files; arguments and errors as `CheckpointModels`."""
    models = CheckpointModels(checkpoint, gemma, loras=loras, dtype=dtype, memory=memory)
    return OneStagePipeline(models)
