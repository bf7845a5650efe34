"""The measurements on a whole clip."""

from typing import NamedTuple

import numpy as np

from ltx_pocket.world.detectors.colour import name_colour
from ltx_pocket.world.detectors.movement import Track, fit_bounce, name_motion
from ltx_pocket.world.detectors.outline import blob, matches, total_turn
from ltx_pocket.world.detectors.regions import find_background, find_things, foreground, reduced
from ltx_pocket.world.detectors.sound import Heard, hear
from ltx_pocket.world.motion import contacts
from ltx_pocket.world.vocabulary import SHAPES


class Seen(NamedTuple):
    """One thing of a clip, in the world's words ("unknown" where none fits), and its track."""

    shape: str
    colour: str
    motion: str
    track: Track


class Clip(NamedTuple):
    """What a clip shows: the background, and the things, the one that is seen most first."""

    background: str
    things: tuple[Seen, ...]


def look(video: np.ndarray, frame_rate: float) -> Clip:
    """Measures a clip (F, H, W, 3) of floats in [0, 1]."""
    small = reduced(np.asarray(video, np.float32))
    background, empty = find_background(small, frame_rate)
    away, threshold = foreground(small, empty)
    areas = find_things(away, threshold)
    return Clip(background, tuple(_describe(small, away, threshold, area, frame_rate) for area in areas[:2]))


def _describe(
    video: np.ndarray, away: np.ndarray, threshold: float, area: np.ndarray, frame_rate: float
) -> Seen:
    frames, height, width = away.shape
    shorter = min(height, width)
    # An edge lies where the difference is about half of the thing's own; light things on light
    # backgrounds need a lower threshold than strong ones, whose blurred edges reach further.
    covered = away[(away > threshold) & area]
    edge = max(threshold, 0.5 * float(np.quantile(covered, 0.35))) if covered.size else threshold
    masks = np.clip(away / edge - 0.5, 0, 1) * area
    x, y, radius = (np.full(frames, np.nan) for _ in range(3))
    scores, curves, pixels = [], [], []
    for number, mask in enumerate(masks):
        moments = blob(mask)
        if moments is None or moments.area < 0.001 * height * width:
            continue
        x[number], y[number] = moments.x / width, moments.y / height
        radius[number] = np.sqrt(moments.area / np.pi) / shorter
        inner = (mask > 0) & (away[number] > 0.8 * np.quantile(away[number][mask > 0], 0.9))
        pixels.append(video[number][inner])
        border = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
        best, all_turns = matches(mask, moments)
        curves.append(all_turns)
        scores.append(best * (0.2 if border else 1.0))
    if not scores:
        track = Track(x, y, radius, 0.0)
        return Seen("unknown", "unknown", "unknown", track)
    shape = SHAPES[int(np.argmax(np.mean(scores, axis=0)))]
    turn = total_turn([curve[SHAPES.index(shape)] for curve in curves], shape)
    track = Track(x, y, radius, turn)
    motion = name_motion(track, frame_rate, width / height)
    return Seen(shape, name_colour(np.concatenate(pixels)), motion, track)


def listen(audio: np.ndarray, sampling_rate: int) -> Heard:
    """Measures a stereo sound (2, samples)."""
    return hear(audio, sampling_rate)


def bounce_sync(track: Track, heard: Heard, frame_rate: float) -> float | None:
    """The median distance in seconds from the contacts that the picture shows to the nearest pulse.

    None where the picture shows no bounce, and infinity where there is a bounce but no pulse.
    """
    bounce = fit_bounce(track.y, frame_rate)
    if bounce is None:
        return None
    seconds = len(track.y) / frame_rate
    moments = [moment for moment in contacts(bounce.period, bounce.phase, seconds) if moment < seconds - 0.08]
    if not moments:
        return None
    if not heard.onsets:
        return float("inf")
    return float(np.median([min(abs(moment - onset) for onset in heard.onsets) for moment in moments]))


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of pictures or clips of values in [0, 1]."""
    error = float(((np.asarray(first, np.float64) - np.asarray(second, np.float64)) ** 2).mean())
    return float("inf") if error == 0 else -10 * float(np.log10(error))
