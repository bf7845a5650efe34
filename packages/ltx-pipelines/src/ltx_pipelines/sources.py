"""Clips and sounds that pipelines start from, as latents of the length and layout that the stages take."""

import math
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


def encode_sound(
    models: "ModelSource",
    audio: Audio,
    shape: VideoPixelShape,
    on_step: OnStep,
    *,
    silence: bool = False,
) -> mx.array:
    """Latent of a stereo sound, as long as a clip; what is too long is cut from the latent.

    Args:
        audio: (2, samples) at any rate, as from `VideoInput.sound` or `read_audio`.
        shape: of the clip.
        silence: a sound that is too short goes on in silence; else its latent goes on with zeros, as the
            reference has it.

    Returns:
        (1, C, T, M) float32.
    """
    from ltx_models.audio_vae import LATENT_DOWNSAMPLE_FACTOR, encode_audio

    on_step(StageEvent("encode audio", 0, 1))
    frames, rate = models.layout.audio_tools(shape).target_shape.frames, audio.sampling_rate
    with models.audio_encoder() as (encoder, processor):
        # The front end mirrors the sound at its ends, which takes this many samples.
        least = processor.n_fft + 1
        if silence:
            least = max(least, (frames - 1) * LATENT_DOWNSAMPLE_FACTOR * processor.mel_hop_length)
        missing = max(math.ceil(least * rate / processor.target_sample_rate) - audio.waveform.shape[1], 0)
        waveform = mx.pad(audio.waveform, [(0, 0), (0, missing)])
        latent = encode_audio(Audio(waveform, rate), encoder, processor)[:, :, :frames]
        latent = mx.pad(latent, [(0, 0), (0, 0), (0, frames - latent.shape[2]), (0, 0)])
        mx.eval(latent)
    on_step(StageEvent("encode audio", 1, 1))
    return latent
