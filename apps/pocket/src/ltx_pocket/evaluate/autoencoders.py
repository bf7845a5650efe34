"""What the autoencoders alone lose: unseen scenes, encoded and decoded."""

from collections.abc import Iterable
from dataclasses import replace
from statistics import fmean
from typing import Any

import mlx.core as mx
import numpy as np
from ltx_core.types import Audio
from ltx_models.audio_vae import AudioEncoder, encode_audio
from ltx_pipelines import CheckpointModels
from ltx_pipelines.decoding import decode_frames, decode_sound
from ltx_pipelines.events import ignore

from ltx_pocket.evaluate.judge import Case, Made
from ltx_pocket.evaluate.makers import Size, World
from ltx_pocket.evaluate.parts import Series, similarity
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.evaluate.tally import decibels
from ltx_pocket.world import BACKGROUNDS
from ltx_pocket.world.captions import PARTS

VIDEO_TARGET = 30.0
"""Decibels, on average."""


class Autoencoders:
    """A clip through the video VAE, the audio VAE and the vocoder."""

    def __init__(self, models: CheckpointModels) -> None:
        self.models = models
        encoder = models.checkpoint.build("audio_encoder", models.dtype)
        assert isinstance(encoder, AudioEncoder)
        self.audio_encoder = encoder

    def __call__(self, clip: Made) -> Made:
        """What is left of it."""
        pixels = mx.array(clip.frames).transpose(3, 0, 1, 2)[None].astype(mx.float32) / 127.5 - 1
        with self.models.video_encoder() as encode:
            latent = encode(pixels)
            mx.eval(latent)
        frames = decode_frames(self.models, latent, ignore)
        sound = Audio(mx.array(clip.waveform), clip.sampling_rate)
        audio = decode_sound(self.models, encode_audio(sound, self.audio_encoder), ignore)
        assert audio is not None
        waveform = np.array(audio.waveform.astype(mx.float32))
        return Made(frames, clip.frame_rate, waveform, audio.sampling_rate)


def measure_autoencoders(
    models: CheckpointModels, cases: Iterable[Case], sheet: ContactSheet, size: Size
) -> dict[str, Any]:
    """Peak signal-to-noise ratio of the pictures in dB, and what detectors still find; plain JSON values.

    Everything in the scenes is judged, whatever the prompts say: a model cannot do better than this.
    """
    world, through = World(size), Autoencoders(models)
    ratios: list[tuple[str, float]] = []

    def make(case: Case, image: np.ndarray | None = None) -> Made:
        truth = world(case)
        made = through(truth)
        ratios.append((case.scene.background, similarity(truth.frames, made.frames)))
        return made

    series = Series(sheet)
    for case in cases:
        series.add(make, replace(case, parts=frozenset(PARTS)))
    backgrounds = {
        name: round(fmean(own), 2)
        for name in BACKGROUNDS
        if (own := [ratio for background, ratio in ratios if background == name])
    }
    psnrs = decibels([ratio for _, ratio in ratios], VIDEO_TARGET)
    return {**series.summary(), "psnr": {**psnrs, "backgrounds": backgrounds}}
