"""What the autoencoders alone lose: pictures and sounds of unseen scenes, encoded and decoded."""

from collections.abc import Iterable
from statistics import fmean
from typing import Any

import mlx.core as mx
import numpy as np
from ltx_core.types import Audio
from ltx_models.audio_vae import AudioEncoder, encode_audio
from ltx_pipelines import CheckpointModels
from ltx_pipelines.events import ignore
from ltx_pipelines.stages import decode_frames, decode_sound

from ltx_pocket import configs
from ltx_pocket.evaluate.judge import Pair
from ltx_pocket.evaluate.makers import Size
from ltx_pocket.evaluate.tally import Share, decibels, mistakes
from ltx_pocket.train.data import clips, sounds
from ltx_pocket.world import BACKGROUNDS, Scene, pack
from ltx_pocket.world.detectors import listen, psnr

VIDEO_TARGET = 30.0
"""Decibels, on average."""


def measure_video(models: CheckpointModels, scenes: Iterable[Scene], size: Size) -> dict[str, Any]:
    """Peak signal-to-noise ratio of clips through the video VAE, in dB, as plain JSON values."""
    values: list[tuple[str, float]] = []
    for scene in scenes:
        pixels = clips(pack([scene]), *size)
        with models.video_encoder() as encode:
            latent = encode(pixels)
            mx.eval(latent)
        made = decode_frames(models, latent, ignore)
        truth = (np.array(pixels[0].transpose(1, 2, 3, 0)) + 1) / 2
        values.append((scene.background, psnr(truth, made / np.float32(255))))
    return {
        "clips": len(values),
        **decibels([value for _, value in values], VIDEO_TARGET),
        "backgrounds": {
            name: round(fmean(own), 2)
            for name in BACKGROUNDS
            if (own := [value for background, value in values if background == name])
        },
    }


def measure_sound(models: CheckpointModels, scenes: Iterable[Scene], seconds: float) -> dict[str, Any]:
    """Sounds that are still of their kind after audio VAE and vocoder, as plain JSON values."""
    encoder = models.checkpoint.build("audio_encoder", models.dtype)
    assert isinstance(encoder, AudioEncoder)
    pairs = []
    for scene in scenes:
        waveform = sounds(pack([scene]), seconds, configs.OUTPUT_RATE)[0]
        audio = decode_sound(models, encode_audio(Audio(waveform, configs.OUTPUT_RATE), encoder), ignore)
        assert audio is not None
        found = listen(np.array(audio.waveform.astype(mx.float32)), audio.sampling_rate).sound
        pairs.append(Pair(scene.sound, found))
    right = Share(sum(pair.wanted == pair.found for pair in pairs), len(pairs))
    return {**right.to_dict(), "mistakes": mistakes(pairs)}
