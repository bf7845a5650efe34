"""The last stages of every pipeline: latents to frames and sound."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
from ltx_core import Audio, VideoLatentShape

from ltx_pipelines.config import ClipConfig
from ltx_pipelines.events import OnStep, StageEvent, ignore
from ltx_pipelines.stages import StagePlan
from ltx_pipelines.tripwires import check_signal

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource


STAGE = "decode video"


@dataclass(frozen=True, eq=False)
class LatentVideo:
    """Frames that are still a latent: iterating decodes them, in chunks that follow each other in time.

    A clip's latent is some hundred times smaller than its frames, which need not be in memory all at once.

    Attributes:
        models: that it was made with.
        latent: (1, C, F, H, W).
        on_step: told as the frames are decoded.
        stage: name of that in events.
        source: uint8 (F, H, W, 3), frames that stand in the place of the decoded ones but for those of
            `fresh`; None: all are decoded ones.
        fresh: the frames that are not the source's.
    """

    models: "ModelSource"
    latent: mx.array
    on_step: OnStep = ignore
    stage: str = STAGE
    source: np.ndarray | None = None
    fresh: range = range(0)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of all frames together, (F, H, W, 3)."""
        pixels = VideoLatentShape.from_shape(self.latent.shape).upscale(self.models.layout.scale_factors)
        return pixels.frames, pixels.height, pixels.width, 3

    def __len__(self) -> int:
        """The number of frames."""
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Chunks of frames, uint8 (f, H, W, 3); those of large clips are decoded in tiles.

        Raises:
            BrokenSignalError: the decoder makes NaN or infinity.
        """
        from ltx_models.video_vae import TileSizeConfig, to_uint8

        total, height, width, _ = self.shape
        factors = self.models.layout.scale_factors
        tiling = TileSizeConfig.auto(height=height, width=width, scale_factors=factors)
        self.on_step(StageEvent(self.stage, 0, total))
        done = 0
        with self.models.video_decoder() as decoder:
            for chunk in decoder.decode_video(self.latent, tiling):
                if not done:
                    check_signal(STAGE, "first frames", chunk, may_be_constant=True)
                frames = np.array(to_uint8(chunk))
                del chunk  # not beside the next one
                if self.source is not None:
                    for place, frame in enumerate(frames, done):
                        if place not in self.fresh:
                            frame[...] = self.source[place]
                done += len(frames)
                yield frames
                del frames
                self.on_step(StageEvent(self.stage, done, total))


def decode_frames(models: "ModelSource", latent: mx.array | None, on_step: OnStep) -> np.ndarray:
    """All frames of a video latent (1, C, F, H, W) at once: uint8 (F, H, W, 3); no frames, (0, 0, 0, 3),
    without a latent."""
    if latent is None:
        return np.empty((0, 0, 0, 3), np.uint8)
    return collect(LatentVideo(models, latent, on_step))


def collect(video: LatentVideo) -> np.ndarray:
    """All frames, uint8 (F, H, W, 3)."""
    frames = np.empty(video.shape, np.uint8)
    done = 0
    for chunk in video:
        frames[done : done + len(chunk)] = chunk
        done += len(chunk)
    return frames


def decode_sound(models: "ModelSource", latent: mx.array | None, on_step: OnStep) -> Audio | None:
    """The sound of an audio latent (1, C, T, M)."""
    from ltx_models.audio_vae import decode_audio

    if latent is None:
        return None
    on_step(StageEvent("decode audio", 0, 1))
    with models.audio_decoder() as (decoder, vocoder):
        audio = decode_audio(latent, decoder, vocoder)
        check_signal("decode audio", "waveform", audio.waveform, may_be_constant=True)
    on_step(StageEvent("decode audio", 1, 1))
    return audio


def decoding_plan(config: ClipConfig, *, video: bool = True, audio: bool | None = None) -> list[StagePlan]:
    """The last stages of every pipeline, with those of both streams as they are wanted; `audio` None: if the
    clip is to have sound. The video comes last: it is decoded while it is written."""
    wanted = (config.generate_audio if audio is None else audio, video)
    stages = (StagePlan("decode audio", 1), StagePlan(STAGE, config.num_frames))
    return [stage for stage, want in zip(stages, wanted, strict=True) if want]
