"""Retake: a time range of a clip made anew, in picture, sound or both; the rest stays as it is."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Unpack

import mlx.core as mx
from ltx_core import DISTILLED_SIGMA_VALUES, ConfigError, RandomNoise
from ltx_core.conditioning import TemporalRegionMask
from ltx_core.noisers import NoiseFn

from ltx_pipelines.config import GuidedConfig, check_size, check_steps
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.few_steps import stage_1_sigmas, unguided
from ltx_pipelines.guided import guided, guided_plan, guided_sigmas
from ltx_pipelines.images import MediaError
from ltx_pipelines.media_input import VideoInput
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.prompt import encode_prompts
from ltx_pipelines.result import GenerationResult, finish
from ltx_pipelines.sources import encode_clip, encode_sound
from ltx_pipelines.stages import FROM_NOISE, ModalitySpec, StagePlan, denoise, describe_stage, pixel_shape


@dataclass(frozen=True, kw_only=True)
class RetakeConfig(GuidedConfig):
    """What to change of a clip. The prompt describes the part that is made anew.

    Attributes:
        source: the clip, or the path of a file.
        start_time, end_time: the range in seconds of the clip; every latent frame that it touches is
            made anew.
        regenerate_video, regenerate_audio: whether to change the picture and the sound there. A clip without
            sound gets one of its full length.
        height, width: 0: the source's; else it is resized and cut to its middle.
        num_frames: 0: the source's, up to 7 at its end left out to come to 8 k + 1; else its first ones.
        frame_rate: 0: the source's; else frames are repeated or dropped.
    """

    min_size: ClassVar[int] = 32

    source: VideoInput | str | Path
    start_time: float
    end_time: float
    regenerate_video: bool = True
    regenerate_audio: bool = True
    height: int = 0
    width: int = 0
    num_frames: int = 0
    frame_rate: float = 0.0
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        shape = self.clip.shape(self.frame_rate or None)
        own = {"height": shape.height, "width": shape.width, "frame_rate": shape.fps}
        own["num_frames"] = (shape.frames - 1) // 8 * 8 + 1
        for name, value in own.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        super().__post_init__()
        if self.num_frames > shape.frames:
            raise MediaError(f"the source has {shape.frames} frames, fewer than num_frames {self.num_frames}")
        if not 0 <= self.start_time < min(self.end_time, self.seconds):
            raise ConfigError(
                f"the time range {self.start_time:g} to {self.end_time:g} s is empty or outside the clip, "
                f"which lasts {self.seconds:.3f} s"
            )
        if not (self.regenerate_video or (self.regenerate_audio and self.generate_audio)):
            raise ConfigError("nothing is to be made anew; let regenerate_video or regenerate_audio be True")
        if self.images:
            raise ConfigError("images cannot be used here: the frames come from the source; leave them out")

    @cached_property
    def clip(self) -> VideoInput:
        """The source."""
        return self.source if isinstance(self.source, VideoInput) else VideoInput(self.source)

    def spec(self, latent: mx.array | None, regenerate: bool) -> ModalitySpec:
        """How a stream begins whose source is `latent`; None: it has none and is made from nothing."""
        if latent is None:
            return FROM_NOISE
        if regenerate:
            region = TemporalRegionMask(self.start_time, self.end_time, self.frame_rate)
            return ModalitySpec([region], latent)
        # Release 1.2.0 begins a kept stream with pure noise as well, although the network is told that it is
        # clean; it ends as the source. Noise scale 0, as in audio to video, would make more sense, but the
        # other stream listens to this one, and would come out differently.
        return ModalitySpec(initial=latent, frozen=True)

    def settings(self) -> dict[str, Any]:
        """The fields as plain values, for records."""
        return {**super().settings(), "source": self.clip.describe()}


class RetakePipeline:
    """Encode the clip and the prompt, denoise the range at full size, decode.

    Args:
        models: a distilled model, or one that is not.
        distilled: few steps without guidance, for a distilled model; else guided.

    Raises:
        LoaderError: the audio encoder is missing or damaged.
    """

    def __init__(self, models: ModelSource, *, distilled: bool = True) -> None:
        models.require_audio_encoder()
        self.models, self.distilled = models, distilled

    def _check(self, config: RetakeConfig) -> None:
        """Find what the model cannot do before any network is loaded."""
        for name in ("height", "width"):
            check_size(name, getattr(config, name), config.size_multiple, self.models.layout.min_size)
        if self.distilled:
            check_steps(config.num_inference_steps, range(1, len(DISTILLED_SIGMA_VALUES)))
            names = ("video_guidance", "audio_guidance", "cfg_scale", "audio_cfg_scale", "stg_scale")
            useless = [
                name for name in (*names, "negative_prompt") if getattr(config, name) not in (None, "")
            ]
            if useless:
                raise ConfigError(
                    f"{', '.join(useless)} cannot be used on a distilled model, which runs without guidance; "
                    "leave it out, or use a model that is not distilled"
                )

    def plan(self, config: RetakeConfig) -> list[StagePlan]:
        """The stages of a run. Raises ConfigError for what the model cannot do."""
        self._check(config)
        steps = stage_1_sigmas(config.num_inference_steps).size - 1 if self.distilled else 0
        detail = describe_stage(config, self.models, steps)
        few = [StagePlan("encode prompt", 1), StagePlan("denoise", steps, detail)]
        stages = few if self.distilled else guided_plan(config, self.models, "denoise")
        heard = [StagePlan("encode audio", 1)] if config.generate_audio and config.clip.has_sound else []
        return [StagePlan("encode video", 1), *heard, *stages, *decoding_plan(config)]

    def __call__(
        self, config: RetakeConfig, *, on_step: OnStep = ignore, noise: NoiseFn | None = None
    ) -> GenerationResult:
        """Make the range anew. Arguments as `OneStagePipeline`; `noise` is called for kept streams too."""
        self._check(config)
        models, shape = self.models, pixel_shape(config)
        # Cut before it is encoded: what follows the clip must not be heard in its last latent frame.
        sound = config.clip.sound(config.seconds) if config.generate_audio else None
        size = config.height, config.width, config.num_frames
        picture = encode_clip(models, config.clip.pixels(*size, config.frame_rate), on_step)
        heard = None if sound is None else encode_sound(models, sound, shape, on_step)
        prompts = [config.prompt] if self.distilled else [config.prompt, config.negative_prompt]
        contexts = encode_prompts(models, prompts, on_step)
        if self.distilled:
            sigmas = stage_1_sigmas(config.num_inference_steps)
            make_denoiser = unguided(contexts[0])
        else:
            sigmas = guided_sigmas(config, models)
            positive, negative = contexts
            make_denoiser = guided(config, models, positive, negative, *config.guidance(models.defaults))
        latents = denoise(
            models,
            stage="denoise",
            shape=shape,
            sigmas=sigmas,
            make_denoiser=make_denoiser,
            noise=noise or RandomNoise(config.seed),
            on_step=on_step,
            video=config.spec(picture, config.regenerate_video),
            audio=config.spec(heard, config.regenerate_audio) if config.generate_audio else None,
        )
        return finish("retake", models, config, latents, on_step)


def create_retake_pipeline(
    checkpoint: str | Path, gemma: str | Path, *, distilled: bool = True, **options: Unpack[ModelOptions]
) -> RetakePipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in the pipeline."""
    return RetakePipeline(CheckpointModels(checkpoint, gemma, **options), distilled=distilled)
