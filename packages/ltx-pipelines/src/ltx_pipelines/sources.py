"""Clips and sounds that pipelines start from, as latents of the length and layout that the stages take."""

from typing import TYPE_CHECKING

import mlx.core as mx
from ltx_core import Audio, VideoPixelShape

from ltx_pipelines.events import OnStep, StageEvent

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource


def encode_clip(models: "ModelSource", pixels: mx.array, on_step: OnStep) -> mx.array:
    """Latent of a clip, encoded in tiles where it is large.

    Args:
        pixels: (1, 3, F, H, W) in [-1, 1], as from `VideoInput.pixels`; F is 8 k + 1.

    Returns:
        (1, C, f, h, w) float32.
    """
    from ltx_models.video_vae import TileSizeConfig

    on_step(StageEvent("encode video", 0, 1))
    with models.video_encoder() as encoder:
        latent = encoder.tiled_encode(pixels, TileSizeConfig.default()).astype(mx.float32)
        mx.eval(latent)
    on_step(StageEvent("encode video", 1, 1))
    return latent


def encode_sound(models: "ModelSource", audio: Audio, shape: VideoPixelShape, on_step: OnStep) -> mx.array:
    """Latent of a stereo sound, as long as a clip: what is too long is cut from the latent, what is missing
    is zero there, as the reference has it.

    Args:
        audio: (2, samples) at any rate, as from `VideoInput.sound` or `read_audio`.
        shape: of the clip.

    Returns:
        (1, C, T, M) float32.
    """
    from ltx_models.audio_vae import encode_audio

    on_step(StageEvent("encode audio", 0, 1))
    wanted = models.layout.audio_tools(shape).target_shape
    with models.audio_encoder() as (encoder, processor):
        # Its front end mirrors the sound at both ends, which takes this many samples.
        reach = processor.n_fft * audio.sampling_rate // processor.target_sample_rate + 1
        missing = max(reach - audio.waveform.shape[1], 0)
        waveform = mx.pad(audio.waveform, [(0, 0), (0, missing)])
        latent = encode_audio(Audio(waveform, audio.sampling_rate), encoder, processor)[:, :, : wanted.frames]
        latent = mx.pad(latent, [(0, 0), (0, 0), (0, wanted.frames - latent.shape[2]), (0, 0)])
        mx.eval(latent)
    on_step(StageEvent("encode audio", 1, 1))
    return latent
