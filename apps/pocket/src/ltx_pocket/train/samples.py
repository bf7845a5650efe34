"""Pictures and sounds that show what a stage has learnt."""

import wave
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np
from PIL import Image


def write_grid(path: Path, rows: Sequence[mx.array]) -> None:
    """Write clips below each other as one PNG: a row per clip, its frames from left to right.

    Args:
        rows: (F, H, W, 3) each, in [0, 1], all of one size.
    """
    height = np.stack([np.array(mx.clip(row, 0, 1).astype(mx.float32)) for row in rows])
    picture = height.transpose(0, 2, 1, 3, 4).reshape(-1, height.shape[1] * height.shape[3], 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((255 * picture + 0.5).astype(np.uint8)).save(path)


def write_wav(path: Path, waveform: mx.array, sampling_rate: int) -> None:
    """Write (2, samples) in [-1, 1] as 16-bit stereo."""
    samples = np.clip(np.array(waveform.astype(mx.float32)).T, -1, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(sampling_rate)
        file.writeframes((32767 * samples).astype("<i2").tobytes())


def psnr(a: mx.array, b: mx.array) -> mx.array:
    """Peak signal-to-noise ratio in dB of pictures in [0, 1], one number per item of the first axis."""
    error = mx.square(a.astype(mx.float32) - b.astype(mx.float32)).reshape(a.shape[0], -1).mean(axis=1)
    return -10 * mx.log10(mx.maximum(error, 1e-10))
