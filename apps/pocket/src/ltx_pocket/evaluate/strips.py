"""Clips and sounds as small still pictures."""

import numpy as np
from PIL import Image

HEIGHT = 128
"""Pixels of a frame."""
WIDTH = 648
"""Of a picture of a sound: as wide as five square frames."""
GAP = 2


def strip(frames: np.ndarray, count: int = 5) -> np.ndarray:
    """Frames (F, H, W, 3) of a clip from left to right, from its first to its last."""
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    width = round(HEIGHT * frames.shape[2] / frames.shape[1])
    pictures = [np.asarray(Image.fromarray(frames[index]).resize((width, HEIGHT))) for index in chosen]
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], axis=1)


def stacked(*pictures: np.ndarray) -> np.ndarray:
    """Pictures below each other, on white."""
    width = max(picture.shape[1] for picture in pictures)
    rows = [
        np.pad(picture, ((0, GAP), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
        for picture in pictures
    ]
    return np.concatenate(rows)[:-GAP]


def spectrogram(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """How strong the pitches of a sound (channels, samples) are over time: low ones below, up to 4 kHz."""
    size = round(0.06 * sampling_rate)
    mono = waveform.astype(np.float32).mean(axis=0)
    starts = np.linspace(0, max(len(mono) - size, 0), WIDTH).astype(int)
    pieces = np.stack([np.resize(mono[start : start + size], size) for start in starts])
    power = np.abs(np.fft.rfft(pieces * np.hanning(size), axis=1)) ** 2
    hertz = np.geomspace(80, 4000, HEIGHT // 2)[::-1]
    rows = power[:, np.rint(hertz * size / sampling_rate).astype(int)].T
    level = np.clip(1 + np.log10(rows / max(float(rows.max()), 1e-9) + 1e-9) / 5, 0, 1)[..., None]
    dark, bright = np.array([16, 18, 48]), np.array([255, 214, 102])
    return np.rint(dark + (bright - dark) * level).astype(np.uint8)


def waveform(samples: np.ndarray) -> np.ndarray:
    """A sound (channels, samples) over time: a row for each channel, as high as the loudest moment."""
    height = HEIGHT // 2 // len(samples)
    edges = np.linspace(0, samples.shape[1], WIDTH + 1).astype(int)[:-1]
    level = np.linspace(1, -1, height)[:, None]
    rows = []
    for channel in samples.astype(np.float32) / max(float(np.abs(samples).max()), 1e-9):
        low, high = np.minimum.reduceat(channel, edges), np.maximum.reduceat(channel, edges)
        rows.append((level >= low - 1 / height) & (level <= high + 1 / height))
    dark, bright = np.array([16, 18, 48]), np.array([255, 214, 102])
    return np.where(np.concatenate(rows)[..., None], bright, dark).astype(np.uint8)
