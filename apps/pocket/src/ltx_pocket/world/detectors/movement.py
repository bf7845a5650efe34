"""The motion of a track: centre, size and turn over time."""

from typing import NamedTuple

import numpy as np

STRAIGHT = 0.12  # least way, relative to the picture
GROWTH = 1.3  # least ratio of the radii
TURN = 60.0  # least degrees
WINDING = 150.0  # least degrees of an orbit, for a clip of a second; longer ones have more


class Track(NamedTuple):
    """A thing over time, one entry a frame; nan where it was not seen.

    x, y relative to the picture, radius in units of the shorter side, turn in degrees in all.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    turn: float


class Bounce(NamedTuple):
    """A fit of y = ground - height * 4 u (1 - u), u the fraction of the bounce gone by."""

    period: float
    phase: float
    height: float
    error: float  # share of the variance that the fit leaves


def fit_bounce(y: np.ndarray, frame_rate: float) -> Bounce | None:
    """The best bounce through a vertical track, by search; None if the track is short or does not move."""
    time = np.arange(len(y)) / frame_rate
    seen = np.isfinite(y)
    if seen.sum() < 8 or np.nanstd(y) < 1e-4:
        return None
    values, time = y[seen] - y[seen].mean(), time[seen]
    period = np.arange(0.4, 1.3, 0.01)[:, None, None]
    phase = np.arange(0, 1, 0.02)[None, :, None]
    cycle = time / period + phase
    part = cycle - np.floor(cycle)
    height = 4 * part * (1 - part)
    height = height - height.mean(axis=-1, keepdims=True)
    slope = -(height * values).sum(axis=-1) / (height**2).sum(axis=-1)
    error = ((values + slope[..., None] * height) ** 2).sum(axis=-1) / (values**2).sum()
    error = np.where(slope > 0, error, np.inf)
    best = np.unravel_index(int(np.argmin(error)), error.shape)
    return Bounce(
        float(period[best[0], 0, 0]), float(phase[0, best[1], 0]), float(slope[best]), float(error[best])
    )


def _winding(x: np.ndarray, y: np.ndarray) -> float:
    """Degrees that the track runs around the middle of its box."""
    angle = np.arctan2(y - (y.max() + y.min()) / 2, x - (x.max() + x.min()) / 2)
    return float(np.degrees(abs(np.unwrap(angle)[-1] - np.unwrap(angle)[0])))


def name_motion(track: Track, frame_rate: float, aspect: float) -> str:
    """The motion of the world that explains the track, "unknown" if none does. aspect: width / height."""
    seen = np.isfinite(track.x)
    if seen.sum() < max(4, len(seen) // 2):
        return "unknown"
    x, y, radius = track.x[seen], track.y[seen], track.radius[seen]
    edge = max(2, len(x) // 8)
    across, along = float(np.ptp(x)), float(np.ptp(y))
    dx = float(x[-edge:].mean() - x[:edge].mean())
    dy = float(y[-edge:].mean() - y[:edge].mean())
    growth = float(np.median(radius[-edge:]) / np.median(radius[:edge]))

    seconds = len(seen) / frame_rate
    round_trip = min(across * max(aspect, 1), along * max(1 / aspect, 1))
    if round_trip > 0.1 and _winding(x, y) > WINDING * min(seconds, 1.5):
        return "circle"
    bounce = fit_bounce(track.y, frame_rate)
    if bounce and along > STRAIGHT and along > 2 * across and bounce.error < 0.2:
        straight = np.polyfit(np.arange(len(y)), y, 2)
        left = float(((np.polyval(straight, np.arange(len(y))) - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())
        if bounce.error < left:
            return "bounce"
    if max(abs(dx), abs(dy)) > STRAIGHT * min(1.0, seconds / 1.5):
        steady = max(abs(dx) / max(across, 1e-6), abs(dy) / max(along, 1e-6))
        if abs(dx) > 2 * abs(dy) and steady > 0.6:
            return "right" if dx > 0 else "left"
        if abs(dy) > 2 * abs(dx) and steady > 0.6:
            return "down" if dy > 0 else "up"
        return "unknown"
    if growth > GROWTH:
        return "grow"
    if growth < 1 / GROWTH:
        return "shrink"
    if abs(track.turn) > TURN * min(1.0, seconds / 1.5):
        return "spin"
    return "still"
