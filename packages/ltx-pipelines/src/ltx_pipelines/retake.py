"""Retake: a time range of a clip made anew, in picture, sound or both; the rest stays as it is."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import mlx.core as mx
from ltx_core import ConfigError, NoiseFn, RandomNoise
from ltx_core.conditioning import TemporalRegionMask

from ltx_pipelines.config import FRAME_STEP
from ltx_pipelines.decoding import decode_sound, decoding_plan
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.from_source import SourceConfig, check_source, full_size_plan, full_size_stage
from ltx_pipelines.images import MediaError
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.sources import encode_clip, encode_sound
from ltx_pipelines.splicing import splice_frames, splice_sound
from ltx_pipelines.stages import FROM_NOISE, Latents, ModalitySpec, StagePlan, pixel_shape


@dataclass(frozen=True, kw_only=True)
class RetakeConfig(SourceConfig):
    """What to change of a clip. The prompt describes the part that is made anew.

    Attributes:
        start_time, end_time: the range in seconds of the clip; every latent frame that it touches is
            made anew.
        regenerate_video, regenerate_audio: whether to change the picture and the sound there. A clip without
            sound gets one of its full length.
        splice: frames and samples outside of those latent frames are the source's own. False: as the
            autoencoders give them, with traces of what is new beside the range, as in the official pipeline.
        num_frames: 0: the source's, up to 7 at its end left out of the picture to come to 8 k + 1 (the sound
            has its whole length); else its first ones.
    """

    start_time: float
    end_time: float
    regenerate_video: bool = True
    regenerate_audio: bool = True
    splice: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        available = self.source_shape.frames
        if self.num_frames > available:
            raise MediaError(f"the source has {available} frames, fewer than num_frames {self.num_frames}")
        if not 0 <= self.start_time < min(self.end_time, self.seconds):
            raise ConfigError(
                f"the time range {self.start_time:g} to {self.end_time:g} s is empty or outside the clip, "
                f"which lasts {self.seconds:.3f} s"
            )
        if not (self.regenerate_video or (self.regenerate_audio and self.generate_audio)):
            raise ConfigError("nothing is to be made anew; let regenerate_video or regenerate_audio be True")

    @property
    def heard_frames(self) -> int:
        """Frames that the sound lasts: those of the picture, and what its last latent frame left out."""
        available = self.source_shape.frames
        return available if available - self.num_frames < FRAME_STEP else self.num_frames

    @property
    def region(self) -> TemporalRegionMask:
        """What is made anew."""
        return TemporalRegionMask(self.start_time, self.end_time, self.frame_rate)

    def spec(self, latent: mx.array | None, regenerate: bool) -> ModalitySpec:
        """How a stream begins whose source is `latent`; None: it has none and is made from nothing."""
        if latent is None:
            return FROM_NOISE
        if regenerate:
            return ModalitySpec([self.region], latent)
        # Release 1.2.0 begins a kept stream with pure noise as well, although the network is told that it is
        # clean; it ends as the source. Noise scale 0, as in audio to video, would make more sense, but the
        # other stream listens to this one, and would come out differently.
        return ModalitySpec(initial=latent, frozen=True)


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
        self.recipe = Recipe("retake", {"distilled": distilled})

    def plan(self, config: RetakeConfig) -> list[StagePlan]:
        """The stages of a run. Raises ConfigError for what the model cannot do."""
        check_source(config, self.models, self.distilled)
        # What is the source's own is not decoded.
        heard = config.regenerate_audio or not (config.splice and config.has_sound)
        seen = config.regenerate_video or not config.splice
        decoding = decoding_plan(config, video=seen, audio=config.generate_audio and heard)
        return [*full_size_plan(config, self.models, self.distilled), *decoding]

    def __call__(
        self,
        config: RetakeConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Make the range anew. Arguments as `OneStagePipeline`; `noise` is called for kept streams too."""
        check_source(config, self.models, self.distilled)
        models, shape = self.models, pixel_shape(config)._replace(frames=config.heard_frames)
        # Cut before it is encoded: what follows the clip must not be heard in its last latent frame.
        sound = config.clip.sound(config.heard_frames / config.frame_rate) if config.generate_audio else None
        pixels = config.clip.pixels(config.height, config.width, config.num_frames, config.frame_rate)
        picture = encode_clip(models, pixels, on_step)
        heard = None if sound is None else encode_sound(models, sound, shape, on_step)
        video = config.spec(picture, config.regenerate_video)
        audio = config.spec(heard, config.regenerate_audio) if config.generate_audio else None
        draw = noise or RandomNoise(config.seed)
        made = full_size_stage(config, models, self.distilled, shape, video, audio, draw, on_step, store)
        # A kept stream ends as its source, but for rounding.
        kept_sound = audio is not None and audio.frozen
        latents = Latents(picture if video.frozen else made.video, heard if kept_sound else made.audio)
        if not config.splice:
            return finish(self, config, latents, on_step)
        fresh = None if sound is None or kept_sound else decode_sound(models, latents.audio, on_step)
        if sound is not None and fresh is not None:
            sound = splice_sound(sound, fresh, config.region, models.layout.audio_tools(shape))
        result = finish(self, config, latents, on_step, sound)
        region = config.region if config.regenerate_video else None
        tools = models.layout.video_tools(pixel_shape(config))
        return replace(result, video=splice_frames(pixels, result.video, region, tools))


def create_retake_pipeline(
    checkpoint: str | Path, gemma: str | Path, *, distilled: bool = True, **options: Unpack[ModelOptions]
) -> RetakePipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in the pipeline."""
    return RetakePipeline(CheckpointModels(checkpoint, gemma, **options), distilled=distilled)
