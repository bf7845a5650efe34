"""Audio to video: a clip to a given sound, which stays as it is; two stages on an undistilled model."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

from ltx_core import Audio, ConfigError, MultiModalGuiderParams, NoiseFn, RandomNoise

from ltx_pipelines.conditioning import encode_images, prepare_images
from ltx_pipelines.config import Guidance
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.defaults import PipelineDefaults
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.guided import encode_guided, guided_plan, guided_stage, refining_lora
from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.media_input import read_audio
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.prompt import PromptContext
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.sources import encode_sound
from ltx_pipelines.stages import Latents, ModalitySpec, StagePlan, pixel_shape, refine, refinement_plan
from ltx_pipelines.two_stage import TwoStageConfig


@dataclass(frozen=True, kw_only=True)
class AudioToVideoConfig(TwoStageConfig):
    """A guided clip to a sound.

    Attributes:
        audio: path of any file that ffmpeg reads, a video's too, or mono or stereo samples.
        audio_start: seconds into it where the clip begins.
        audio_duration: seconds of it to take; None: the clip's length. What lies beyond the clip is in the
            result's sound, and nowhere in the picture.
    """

    audio: str | Path | Audio
    audio_start: float = 0.0
    audio_duration: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("audio_guidance", "audio_cfg_scale"):
            if getattr(self, name) is not None:
                raise ConfigError(f"{name} cannot be used here: the sound is given, not made; leave it out")
        if not self.generate_audio:
            raise ConfigError(
                "generate_audio False cannot be used here: the result has the sound that was given"
            )
        # Reads the file, and keeps what is needed of it.
        self.sound  # noqa: B018

    @cached_property
    def sound(self) -> Audio:
        """The part of the sound that the clip is for: stereo, at its own rate."""
        length = self.seconds if self.audio_duration is None else self.audio_duration
        return read_audio(self.audio, self.audio_start, length)

    def guidance(self, defaults: PipelineDefaults) -> tuple[Guidance, Guidance]:
        """Guidance of the video; the sound needs none."""
        return super().guidance(defaults)[0], MultiModalGuiderParams()

    def settings(self) -> dict[str, Any]:
        """The fields as plain values, for records."""
        name = str(self.audio) if isinstance(self.audio, str | Path) else f"array {self.audio.waveform.shape}"
        return {**super().settings(), "audio": name}


class AudioToVideoPipeline:
    """Encode prompts and sound, denoise the video at half size, upscale it, refine it, decode it.

    The sound's latent stands beside the video in both stages, clean and unchanged.

    Args:
        models: an undistilled model with a spatial upscaler.
        distilled_lora: for the second stage alone.

    Raises:
        ConfigError: the models have no spatial upscaler, or there is no distilled LoRA.
        LoaderError: the LoRA is for another network, or the audio encoder is missing.
    """

    def __init__(self, models: ModelSource, distilled_lora: LoraPathStrength | None) -> None:
        models.require_audio_encoder()
        self.loras = refining_lora(models, distilled_lora)
        self.models = models
        self.recipe = Recipe("audio-to-video", {"distilled_lora": self.loras})

    def plan(self, config: AudioToVideoConfig) -> list[StagePlan]:
        """The stages of a run."""
        encode, first = guided_plan(config, self.models, "stage 1", divisor=2)
        last = [*refinement_plan(config, self.models), *decoding_plan(config, audio=False)]
        return [encode, StagePlan("encode audio", 1), first, *last]

    def __call__(
        self,
        config: AudioToVideoConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Make a clip to a sound. Arguments as `OneStagePipeline`; `noise` is called for video and sound in
        either stage, though the sound takes none of it."""
        models, draw = self.models, noise or RandomNoise(config.seed)
        images = prepare_images(config, models)
        positive, negative = encode_guided(models, config, on_step, store)
        # The sound is no part of what the negative prompt speaks of.
        prompts = [positive, PromptContext(negative.video, positive.audio)]
        half, full = pixel_shape(config, 2), pixel_shape(config)
        latent = encode_sound(models, config.sound, full, on_step, silence=True)
        sound = ModalitySpec(initial=latent, noise_scale=0.0, frozen=True)
        items = encode_images(models, images, half)
        first = guided_stage(config, models, prompts, items, draw, on_step, audio=sound, store=store)
        items = encode_images(models, images, full)
        last = refine(
            models,
            first,
            shape=full,
            context=positive,
            items=items,
            noise=draw,
            on_step=on_step,
            loras=self.loras,
            audio=sound,
            store=store,
        )
        latents = Latents(last.video, latent)
        return finish(self, config, latents, on_step, config.sound)


def create_audio_to_video_pipeline(
    checkpoint: str | Path,
    gemma: str | Path,
    spatial_upsampler: str | Path | None,
    distilled_lora: LoraPathStrength | None,
    **options: Unpack[ModelOptions],
) -> AudioToVideoPipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in the pipeline."""
    models = CheckpointModels(checkpoint, gemma, spatial_upsampler, **options)
    return AudioToVideoPipeline(models, distilled_lora)
