"""What a pipeline returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from ltx_core import Audio

from ltx_pipelines.config import ClipConfig
from ltx_pipelines.decoding import LatentVideo, collect, decode_sound
from ltx_pipelines.events import OnStep
from ltx_pipelines.media import write_mp4, write_wav
from ltx_pipelines.metadata import settings_of
from ltx_pipelines.stages import Latents

if TYPE_CHECKING:
    from ltx_pipelines.protocol import Pipeline


@dataclass(frozen=True, eq=False)
class GenerationResult:
    """A finished clip, or a sound alone.

    Attributes:
        video: the frames, uint8 (F, H, W, 3), or the latent that they are decoded from when they are needed.
        audio: the sound, or None if none was made.
        video_latent: (1, C, f, h, w), what the video decoder received, or None.
        audio_latent: (1, C, T, M), what the audio decoder received, or None.
        frame_rate: frames per second.
        settings: what it was made with, as `ltx_pipelines.metadata.settings_of` has it.
    """

    video: np.ndarray | LatentVideo
    audio: Audio | None
    video_latent: mx.array | None
    audio_latent: mx.array | None
    frame_rate: float
    settings: dict[str, Any]

    @cached_property
    def frames(self) -> np.ndarray:
        """All frames, uint8 (F, H, W, 3), RGB; F is 0 for a sound alone. Decoded when they are first asked
        for, and kept. Errors as `save`."""
        return self.video if isinstance(self.video, np.ndarray) else collect(self.video)

    @property
    def num_frames(self) -> int:
        """How many frames there are; 0 for a sound alone."""
        return len(self.video)

    def save(self, path: str | Path) -> Path:
        """Write the clip as an mp4 file, or a sound alone as a wav file, with the settings in its comment.

        Frames that were not asked for before are decoded now, and go into the file chunk by chunk: a long
        clip takes no more memory than a short one.

        Raises:
            MediaError: the path cannot be written, or ffmpeg failed; nothing is left there then.
            BrokenSignalError: the video decoder makes NaN or infinity.
        """
        if self.audio is not None and not self.num_frames:
            write_wav(path, np.array(self.audio.waveform), self.audio.sampling_rate, self.settings)
            return Path(path)
        waveform = None if self.audio is None else np.array(self.audio.waveform)
        rate = 0 if self.audio is None else self.audio.sampling_rate
        frames = self.frames if "frames" in vars(self) else self.video
        write_mp4(path, frames, self.frame_rate, waveform, rate, self.settings)
        return Path(path)


@dataclass(frozen=True)
class Recipe:
    """A pipeline in records: its name, and what it was made with besides models, such as LoRAs of single
    stages."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


def finish(
    pipeline: "Pipeline[Any]",
    config: ClipConfig,
    latents: Latents,
    on_step: OnStep,
    sound: Audio | None = None,
) -> GenerationResult:
    """The result of a pipeline's last latents: the sound is decoded, the frames are when they are needed.

    Args:
        sound: stands in the place of the decoded one, if it is given.
    """
    models = pipeline.models
    video: np.ndarray | LatentVideo = np.empty((0, 0, 0, 3), np.uint8)
    if latents.video is not None:
        video = LatentVideo(models, latents.video, on_step)
    return GenerationResult(
        video=video,
        audio=decode_sound(models, latents.audio, on_step) if sound is None else sound,
        video_latent=latents.video,
        audio_latent=latents.audio,
        frame_rate=config.frame_rate,
        settings=settings_of(pipeline, config),
    )
