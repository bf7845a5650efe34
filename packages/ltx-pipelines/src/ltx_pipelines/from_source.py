"""What the pipelines that work on a given clip share: its config, and one stage at its own size."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ltx_core import DISTILLED_SIGMA_VALUES, ConfigError, NoiseFn, VideoPixelShape

from ltx_pipelines.conditioning import check_sides
from ltx_pipelines.config import GuidedConfig, check_steps
from ltx_pipelines.distillation import require_distilled
from ltx_pipelines.events import OnStep
from ltx_pipelines.few_steps import stage_1_sigmas
from ltx_pipelines.guided import check_guidance, guided, guided_plan, guided_sigmas
from ltx_pipelines.media_input import VideoInput
from ltx_pipelines.models import ModelSource
from ltx_pipelines.prompt import encode_prompts
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import Latents, ModalitySpec, StagePlan, denoise, describe_stage, unguided


@dataclass(frozen=True, kw_only=True)
class SourceConfig(GuidedConfig):
    """A clip that is changed. The prompt describes what is made anew.

    Attributes:
        source: the clip, or the path of a file.
        height, width: 0: the source's; else it is resized and cut to its middle.
        frame_rate: 0: the source's; else frames are repeated or dropped.
    """

    source: VideoInput | str | Path
    height: int = 0
    width: int = 0
    num_frames: int = 0
    frame_rate: float = 0.0
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        shape = self.source_shape
        own = {"height": shape.height, "width": shape.width, "frame_rate": shape.fps}
        for name, value in own.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        object.__setattr__(self, "num_frames", self.frames_at_once(shape.frames))
        super().__post_init__()
        if self.images:
            raise ConfigError("images cannot be used here: the frames come from the source; leave them out")

    def frames_at_once(self, available: int) -> int:
        """How many frames the stage works on, where the source has `available`; 8 k + 1."""
        return self.num_frames or (available - 1) // 8 * 8 + 1

    @cached_property
    def clip(self) -> VideoInput:
        """The source."""
        return self.source if isinstance(self.source, VideoInput) else VideoInput(self.source)

    @cached_property
    def source_shape(self) -> VideoPixelShape:
        """Of the source, at the frame rate that is wanted."""
        return self.clip.shape(self.frame_rate or None)

    @property
    def starts_from_pictures(self) -> bool:
        """Always: from those of the source."""
        return True

    @property
    def has_sound(self) -> bool:
        """Whether the source's sound takes part."""
        return self.generate_audio and self.clip.has_sound

    def settings(self) -> dict[str, Any]:
        """The fields as plain values, for records."""
        return {**super().settings(), "source": self.clip.describe()}


def check_source(config: SourceConfig, models: ModelSource, distilled: bool) -> None:
    """Find what a config asks for and the model cannot do, before any network is loaded; warns as
    `check_guidance`.

    Raises:
        ConfigError: the model cannot do it.
    """
    check_sides(config, models)
    if not distilled:
        check_guidance(config, models)
        return
    require_distilled(models)
    check_steps(config.num_inference_steps, range(1, len(DISTILLED_SIGMA_VALUES)))
    names = ("video_guidance", "audio_guidance", "cfg_scale", "audio_cfg_scale", "stg_scale")
    useless = [name for name in (*names, "negative_prompt") if getattr(config, name) not in (None, "")]
    if useless:
        raise ConfigError(
            f"{', '.join(useless)} cannot be used on a distilled model, which runs without guidance; leave "
            "it out, or use a model that is not distilled"
        )


def full_size_plan(config: SourceConfig, models: ModelSource, distilled: bool) -> list[StagePlan]:
    """Encoding the source, and `full_size_stage`."""
    heard = [StagePlan("encode audio", 1)] if config.has_sound else []
    if distilled:
        steps = stage_1_sigmas(config.num_inference_steps).size - 1
        detail = describe_stage(config, models, steps)
        stages = [StagePlan("encode prompt", 1), StagePlan("denoise", steps, detail)]
    else:
        stages = guided_plan(config, models, "denoise")
    return [StagePlan("encode video", 1), *heard, *stages]


def full_size_stage(
    config: SourceConfig,
    models: ModelSource,
    distilled: bool,
    shape: VideoPixelShape,
    video: ModalitySpec,
    audio: ModalitySpec | None,
    noise: NoiseFn,
    on_step: OnStep,
    store: StageStore | None = None,
) -> Latents:
    """Encode the prompt, and denoise at full size: in few steps without guidance, or guided.

    Args:
        shape: of the clip; its sound may last up to 7 frames longer than the picture.
        video, audio: how the streams begin; None leaves the sound out.
    """
    prompts = [config.prompt] if distilled else [config.prompt, config.negative_prompt]
    contexts = encode_prompts(models, prompts, on_step, store)
    if distilled:
        sigmas, make_denoiser = stage_1_sigmas(config.num_inference_steps), unguided(contexts[0])
    else:
        sigmas = guided_sigmas(config, models)
        positive, negative = contexts
        make_denoiser = guided(config, models, positive, negative, *config.guidance(models.defaults))
    return denoise(
        models,
        stage="denoise",
        shape=shape,
        sigmas=sigmas,
        make_denoiser=make_denoiser,
        noise=noise,
        on_step=on_step,
        video=video,
        audio=audio,
        store=store,
    )
