"""Text to audio: sound alone, by the audio half of an undistilled network under guidance."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Unpack

from ltx_core import ConfigError, MultiModalGuiderParams, NoiseFn, RandomNoise, VideoPixelShape

from ltx_pipelines.config import Guidance, GuidanceChange, GuidedConfig, map_guidance
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.defaults import PipelineDefaults
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.guided import check_guidance, encode_guided, guided, guided_sigmas
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import StagePlan, denoise, pixel_shape

# What belongs to the picture, and is not there.
_PICTURE = ("height", "width", "images", "video_guidance", "cfg_scale", "generate_audio")
MIN_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class TextToAudioConfig(GuidedConfig):
    """A guided sound; `audio_guidance`, `audio_cfg_scale` and `stg_scale` guide it.

    Attributes:
        duration: seconds; None: as long as `num_frames` at `frame_rate`. The model was made for up to 20.
    """

    has_picture: ClassVar[bool] = False

    height: int = 64
    width: int = 64
    duration: float | None = None

    def __post_init__(self) -> None:
        defaults = {field.name: field.default for field in fields(self)}
        useless = [name for name in _PICTURE if getattr(self, name) != defaults[name]]
        if self.duration is not None and not (math.isfinite(self.duration) and self.duration >= MIN_SECONDS):
            raise ConfigError(f"duration {self.duration} is not a number of seconds, at least {MIN_SECONDS}")
        super().__post_init__()
        if useless:
            raise ConfigError(f"{', '.join(useless)} cannot be used here: there is no picture; leave it out")

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return super().seconds if self.duration is None else self.duration

    @property
    def shape(self) -> VideoPixelShape:
        """Of a clip of that length."""
        shape = pixel_shape(self)
        return shape if self.duration is None else shape._replace(fps=self.num_frames / self.duration)

    def guidance(self, defaults: PipelineDefaults) -> tuple[Guidance, Guidance]:
        """Guidance of the sound; there is no video to guide it away from."""
        _, audio = super().guidance(defaults)
        return MultiModalGuiderParams(), map_guidance(audio, GuidanceChange(modality_scale=1.0))

    def summary(self) -> str:
        """What is made, in a line for people."""
        return f"{self.seconds:.2f} s of sound, seed {self.seed}"

    def settings(self) -> dict[str, Any]:
        """The fields as plain values, for records."""
        return {name: value for name, value in super().settings().items() if name not in _PICTURE}


class TextToAudioPipeline:
    """Encode the prompts, denoise the sound under guidance, decode it. Nothing of the video half is read."""

    def __init__(self, models: ModelSource) -> None:
        self.models = models
        self.recipe = Recipe("text-to-audio")

    def plan(self, config: TextToAudioConfig) -> list[StagePlan]:
        """The stages of a run; errors as `check_guidance`."""
        check_guidance(config, self.models)
        steps = config.steps(self.models.defaults)
        tokens = self.models.layout.audio_tools(config.shape).num_tokens
        detail = f"{steps} steps, {tokens} tokens, up to 3 passes each"
        stages = [StagePlan("encode prompt", 2), StagePlan("denoise", steps, detail)]
        return [*stages, *decoding_plan(config, video=False)]

    def __call__(
        self,
        config: TextToAudioConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Make a sound: a result without frames, whose `save` writes a wav file. Arguments as
        `OneStagePipeline`; `noise` is called once."""
        models = self.models
        positive, negative = encode_guided(models, config, on_step, store)
        latents = denoise(
            models,
            stage="denoise",
            shape=config.shape,
            sigmas=guided_sigmas(config, models),
            make_denoiser=guided(config, models, positive, negative, *config.guidance(models.defaults)),
            noise=noise or RandomNoise(config.seed),
            on_step=on_step,
            video=None,
            store=store,
        )
        return finish(self, config, latents, on_step)


def create_text_to_audio_pipeline(
    checkpoint: str | Path, gemma: str | Path, **options: Unpack[ModelOptions]
) -> TextToAudioPipeline:
    """The pipeline on files; arguments and errors as `CheckpointModels`."""
    return TextToAudioPipeline(CheckpointModels(checkpoint, gemma, **options))
