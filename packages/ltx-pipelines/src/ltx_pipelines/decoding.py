"""The last stages of every pipeline: latents to frames and sound."""

from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
from ltx_core import Audio, VideoLatentShape

from ltx_pipelines.config import ClipConfig
from ltx_pipelines.events import OnStep, StageEvent
from ltx_pipelines.stages import StagePlan
from ltx_pipelines.tripwires import check_signal

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource


def decode_frames(models: "ModelSource", latent: mx.array | None, on_step: OnStep) -> np.ndarray:
    """Pixels of a video latent (1, C, F, H, W): uint8 (F, H, W, 3), decoded in tiles where it is large; no
    frames, (0, 0, 0, 3), without a latent."""
    from ltx_models.video_vae import TileSizeConfig, to_uint8

    if latent is None:
        return np.empty((0, 0, 0, 3), np.uint8)
    factors = models.layout.scale_factors
    shape = VideoLatentShape.from_shape(latent.shape).upscale(factors)
    tiling = TileSizeConfig.auto(height=shape.height, width=shape.width, scale_factors=factors)
    on_step(StageEvent("decode video", 0, shape.frames))
    frames: list[np.ndarray] = []
    done = 0
    with models.video_decoder() as decoder:
        for chunk in decoder.decode_video(latent, tiling):
            if not frames:
                check_signal("decode video", "first frames", chunk, may_be_constant=True)
            frames.append(np.array(to_uint8(chunk)))
            done += len(chunk)
            on_step(StageEvent("decode video", done, shape.frames))
    return np.concatenate(frames)


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
    clip is to have sound."""
    wanted = (video, config.generate_audio if audio is None else audio)
    stages = (StagePlan("decode video", config.num_frames), StagePlan("decode audio", 1))
    return [stage for stage, want in zip(stages, wanted, strict=True) if want]
