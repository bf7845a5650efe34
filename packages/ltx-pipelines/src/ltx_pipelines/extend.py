"""Extend: new frames behind or before a clip, which go on with its motion and its sound."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

import mlx.core as mx
import numpy as np
from ltx_core import ConfigError, NoiseFn, RandomNoise

from ltx_pipelines.config import FRAME_STEP, check_frames
from ltx_pipelines.decoding import decoding_plan
from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.extension import Window
from ltx_pipelines.from_source import SourceConfig, check_source, full_size_plan, full_size_stage
from ltx_pipelines.models import CheckpointModels, ModelOptions, ModelSource
from ltx_pipelines.resize import normalize_images, resize_and_center_crop
from ltx_pipelines.result import GenerationResult, Recipe, finish
from ltx_pipelines.saved import StageStore
from ltx_pipelines.sources import encode_clip, encode_sound
from ltx_pipelines.stages import StagePlan, pixel_shape


@dataclass(frozen=True, kw_only=True)
class ExtendConfig(SourceConfig):
    """What to add to a clip. The prompt describes the whole of what is then seen; a silent source stays
    silent.

    Attributes:
        new_frames: how many to make, a multiple of 8.
        before: whether they come before the source.
        overlap_frames: frames of the source next to them that may change, for a softer seam; a multiple of 8.
            0 leaves every frame of the source as it is.
        num_frames: what the model works on at once, 8 k + 1: the new frames, and as many of the source's
            as there are or as find room beside them. More than the model was made for does not help.
    """

    new_frames: int
    before: bool = False
    overlap_frames: int = 0
    num_frames: int = 121

    def __post_init__(self) -> None:
        object.__setattr__(self, "generate_audio", self.has_sound)
        super().__post_init__()
        kept = self.window.kept
        if self.overlap_frames % FRAME_STEP or not 0 <= self.overlap_frames <= max(kept - 9, 0):
            raise ConfigError(
                f"overlap_frames {self.overlap_frames} is not a multiple of 8 from 0 to {max(kept - 9, 0)}: "
                f"the model sees {kept} frames of the source, of which 9 must stay as they are"
            )

    def frames_at_once(self, available: int) -> int:
        """New frames and those of the source beside them."""
        check_frames(self.num_frames)
        new = self.new_frames
        if new % FRAME_STEP or not FRAME_STEP <= new < self.num_frames:
            raise ConfigError(
                f"new_frames {new} is not a multiple of 8 from 8 to {self.num_frames - 1}; num_frames "
                f"{self.num_frames} is what the model works on at once. Extend several times for more"
            )
        return min(self.num_frames, (available - 1) // FRAME_STEP * FRAME_STEP + 1 + new)

    @cached_property
    def window(self) -> Window:
        """What the model works on."""
        kept = self.num_frames - self.new_frames
        return Window(kept, self.new_frames, self.overlap_frames, self.before, self.frame_rate)

    def summary(self) -> str:
        """What is made, in a line for people."""
        own, where = self.source_shape.frames, "before" if self.before else "behind"
        seconds = (own + self.new_frames) / self.frame_rate
        length = f"{own} frames and {self.new_frames} new ones {where} them at {self.frame_rate:g} per second"
        sound = "with sound" if self.generate_audio else "silent"
        return f"{self.width}x{self.height}, {length} ({seconds:.2f} s), {sound}, seed {self.seed}"

    def source_frames(self) -> np.ndarray:
        """All frames of the source at the size and rate that are wanted: uint8 (F, H, W, 3)."""
        size = self.height, self.width
        return np.stack(
            [
                frame if frame.shape[:2] == size else _resized(frame, *size)
                for frame in self.clip.frames(self.frame_rate)
            ]
        )


def _resized(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = resize_and_center_crop(frame, height, width)[0, :, 0].transpose(1, 2, 0)
    result: np.ndarray = np.rint(picture).astype(np.uint8)
    return result


class ExtendPipeline:
    """Encode the end of the clip (or its start) and the prompt, denoise new frames beside it, decode, join.

    The result has the frames and the samples of the source as they are, but for an overlap, and the sound at
    the source's rate; its latents are those of the part that the model worked on.

    Arguments and errors as `RetakePipeline`.
    """

    def __init__(self, models: ModelSource, *, distilled: bool = True) -> None:
        self.models, self.distilled = models, distilled
        self.recipe = Recipe("extend", {"distilled": distilled})
        models.require_audio_encoder()

    def plan(self, config: ExtendConfig) -> list[StagePlan]:
        """The stages of a run. Raises ConfigError for what the model cannot do."""
        check_source(config, self.models, self.distilled)
        return [*full_size_plan(config, self.models, self.distilled), *decoding_plan(config)]

    def __call__(
        self,
        config: ExtendConfig,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult:
        """Extend a clip. Arguments as `OneStagePipeline`.

        Raises:
            ConfigError: what the model cannot do.
            MediaError: the source cannot be read.
        """
        models, window, draw = self.models, config.window, noise or RandomNoise(config.seed)
        check_source(config, models, self.distilled)
        frames, sound = config.source_frames(), config.clip.sound() if config.has_sound else None
        kept = window.of(frames, config.frame_rate).transpose(3, 0, 1, 2)
        video = window.picture(encode_clip(models, mx.array(normalize_images(kept[None])), on_step))
        audio = None
        if sound is not None:
            heard = window.heard(sound, len(frames))
            audio = window.sound(encode_sound(models, heard, pixel_shape(config), on_step))
        latents = full_size_stage(
            config, models, self.distilled, pixel_shape(config), video, audio, draw, on_step, store
        )
        made = finish(self, config, latents, on_step)
        if sound is not None and made.audio is not None:
            made = replace(made, audio=window.join_sound(sound, made.audio, len(frames)))
        return replace(made, video=window.join_frames(frames, made.frames))


def create_extend_pipeline(
    checkpoint: str | Path, gemma: str | Path, *, distilled: bool = True, **options: Unpack[ModelOptions]
) -> ExtendPipeline:
    """The pipeline on files; arguments as `CheckpointModels`, errors as there and in the pipeline."""
    models = CheckpointModels(checkpoint, gemma, **options)
    return ExtendPipeline(models, distilled=distilled)
