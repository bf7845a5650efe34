"""What a sound is: its class, the moments of its pulses, its stereo position."""

from typing import NamedTuple

import numpy as np

from ltx_pocket.world.vocabulary import TONE_HERTZ

SILENCE = 0.02  # root mean square
HOP_SECONDS = 0.005


class Heard(NamedTuple):
    """sound: of the world's SOUNDS. hertz: the median pitch (0 without one). octaves: of pitch a second.

    onsets: seconds of the pulses. position: 0 left to 1 right, the mean over the clip.
    """

    sound: str
    hertz: float
    octaves: float
    onsets: tuple[float, ...]
    position: float


def _power(audio: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Short-time power spectra of both channels together, (T, window // 2 + 1)."""
    starts = range(0, max(1, audio.shape[1] - window + 1), hop)
    frames = np.stack([audio[:, start : start + window] for start in starts])
    spectrum = np.fft.rfft(frames * np.hanning(window), axis=-1)
    return (np.abs(spectrum) ** 2).sum(axis=1)


def envelope(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Root mean square of both channels every HOP_SECONDS."""
    hop = round(sampling_rate * HOP_SECONDS)
    count = audio.shape[1] // hop
    square = (audio[:, : count * hop] ** 2).sum(axis=0).reshape(count, hop)
    return np.sqrt(square.mean(axis=1))


def find_onsets(level: np.ndarray) -> tuple[float, ...]:
    """Seconds at which the level jumps up from quiet."""
    peak = float(np.quantile(level, 0.98))
    found: list[float] = []
    gap, before = round(0.2 / HOP_SECONDS), round(0.05 / HOP_SECONDS)
    last = -gap
    for index in range(1, len(level)):
        ahead = level[index : index + before]
        quiet = level[max(0, index - before) : index].min()
        if level[index] > 0.3 * peak and ahead.max() > 2.5 * quiet and index - last >= gap:
            found.append(index * HOP_SECONDS)
            last = index
    return tuple(found)


def _position(audio: np.ndarray) -> float:
    left, right = np.sqrt((audio**2).mean(axis=1))
    return float((np.arctan2(right, left) / (np.pi / 2) - 0.1) / 0.8)


def hear(audio: np.ndarray, sampling_rate: int) -> Heard:
    """Classifies a stereo sound (2, samples)."""
    audio = np.asarray(audio, np.float64)
    if np.sqrt((audio**2).mean()) < SILENCE:
        return Heard("silence", 0.0, 0.0, (), 0.5)
    position = _position(audio)
    level = envelope(audio, sampling_rate)
    gaps = float(np.quantile(level, 0.25) / np.quantile(level, 0.95))
    onsets = find_onsets(level)
    if gaps < 0.2 and onsets:
        return Heard("pulse", 0.0, 0.0, onsets, position)

    window = 1 << round(np.log2(0.085 * sampling_rate))
    power = _power(audio, window, window // 4)
    bins = np.arange(power.shape[1]) * sampling_rate / window
    power[:, bins < 50] = 0
    loud = power.sum(axis=1) > 0.05 * power.sum(axis=1).max()
    power = power[loud]
    peaks = power.argmax(axis=1)
    near = np.abs(np.arange(power.shape[1])[None] - peaks[:, None]) <= 3
    share = float(np.median((power * near).sum(axis=1) / power.sum(axis=1)))
    hertz = bins[peaks]
    if share < 0.5:
        return Heard("noise", 0.0, 0.0, (), position)
    time = np.nonzero(loud)[0] * (window // 4) / sampling_rate
    octaves = _slope(time, np.log2(hertz))
    pitch = float(np.median(hertz))
    if abs(octaves) > 0.3:
        return Heard("rising" if octaves > 0 else "falling", pitch, octaves, (), position)
    nearest = min(TONE_HERTZ, key=lambda name: abs(np.log2(pitch / TONE_HERTZ[name])))
    return Heard(nearest, pitch, octaves, (), position)


def _slope(time: np.ndarray, values: np.ndarray) -> float:
    """The median slope between points half the clip apart: a few wrong points do not matter."""
    half = len(time) // 2
    if half == 0:
        return 0.0
    return float(np.median((values[-half:] - values[:half]) / (time[-half:] - time[:half])))
