"""Text to video, plainly: one stage, prompt guidance only."""

from collections.abc import Sequence
from dataclasses import dataclass
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
class TextToVideoConfig(ClipConfig):
    """A clip by classifier-free guidance alone, two passes per step; what is None comes from the model.

    Attributes:
        negative_prompt: what to stay away from.
        num_inference_steps: denoising steps.
        cfg_scale, audio_cfg_scale: guidance of picture and sound towards the prompt; 1 is none.
    """

    negative_prompt: str = NEGATIVE_PROMPT
    num_inference_steps: int | None = None
    cfg_scale: float | None = None
    audio_cfg_scale: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.num_inference_steps, range(2, 1001))


class TextToVideoPipeline:
    """Encode the prompt, denoise under prompt guidance, decode."""

    def __init__(self, models: ModelSource) -> None:
        self.models = models

    def plan(self, config: TextToVideoConfig) -> list[StagePlan]:
        """The stages of a run."""
        return guided_plan(
            config, self.models, guided_steps(config.num_inference_steps, self.models), "2 passes each"
        )

    def __call__(
        self, config: TextToVideoConfig, *, on_step: OnStep = ignore, noise: NoiseFn | None = None
    ) -> GenerationResult:
        """Make a clip.

        Args:
            on_step: called as each stage begins and advances; may raise `Cancelled`.
            noise: replaces the noise that comes from the seed; called for video, then for audio, with the
                tokens (1, T, D) that it is for.
        """
        defaults = self.models.defaults
        video, audio = config.cfg_scale, config.audio_cfg_scale
        video = defaults.video.cfg_scale if video is None else video
        audio = defaults.audio.cfg_scale if audio is None else audio
        latents = guided_latents(
            config,
            self.models,
            negative_prompt=config.negative_prompt,
            steps=guided_steps(config.num_inference_steps, self.models),
            video=MultiModalGuiderParams(cfg_scale=video),
            audio=MultiModalGuiderParams(cfg_scale=audio),
            noise=noise or RandomNoise(config.seed),
            on_step=on_step,
        )
        return finish("text-to-video", self.models, config, latents, on_step)


def create_text_to_video_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    *,
    loras: Sequence[LoraPathStrength] = (),
    dtype: str | mx.Dtype | None = None,
    memory: Memory = Memory.FREE,
) -> TextToVideoPipeline:
    """The pipeline on files; arguments and errors as `CheckpointModels`."""
    models = CheckpointModels(checkpoint, gemma, loras=loras, dtype=dtype, memory=memory)
    return TextToVideoPipeline(models)
