"""Scenes to stereo sound: tones, scales, pulses in time with the bounce, noise of rain and sea."""

import math

import mlx.core as mx

from ltx_pocket.world.motion import pose
from ltx_pocket.world.scene import SceneBatch
from ltx_pocket.world.vocabulary import (
    BACKGROUNDS,
    HERTZ_STEP,
    PULSE_HERTZ,
    SOUNDS,
    SWEEP_HERTZ,
    SWEEP_OCTAVES,
    TONE_HERTZ,
)


def _voice(cycles: mx.array) -> mx.array:
    """A soft tone: the fundamental and two overtones. cycles: periods gone by."""
    turn = 2 * math.pi * (cycles - mx.floor(cycles))
    return 0.72 * mx.sin(turn) + 0.2 * mx.sin(2 * turn) + 0.08 * mx.sin(3 * turn)


def _scatter(index: mx.array, seed: mx.array) -> mx.array:
    """A hash of two whole numbers to [-1, 1); the same on every device."""
    state = index.astype(mx.uint32) * mx.array(2654435761, mx.uint32) + seed.astype(mx.uint32) * mx.array(
        2246822519, mx.uint32
    )
    for multiplier in (2146121005, 2221713035):  # the constants of "lowbias32"
        state = (state ^ (state >> mx.array(15, mx.uint32))) * mx.array(multiplier, mx.uint32)
    state = state ^ (state >> mx.array(16, mx.uint32))
    return (state >> mx.array(8, mx.uint32)).astype(mx.float32) * (2.0**-23) - 1


def _noise(time: mx.array, hertz: float, seed: mx.array) -> mx.array:
    """Random values `hertz` times a second, joined by lines: noise that is the same at any sampling rate."""
    position = time * hertz
    before = mx.floor(position)
    share = position - before
    index = before.astype(mx.int32)
    return _scatter(index, seed) * (1 - share) + _scatter(index + 1, seed) * share


def synthesize(batch: SceneBatch, seconds: float, sampling_rate: int) -> mx.array:
    """Sound (B, 2, samples) in [-1, 1], samples = round(seconds * sampling_rate).

    The stereo position (constant power) follows the first thing; pulses start at the contacts
    of its bounce.
    """
    samples = round(seconds * sampling_rate)
    time = (mx.arange(samples).astype(mx.float32) / sampling_rate)[None, :]
    sound, seed = batch.sound[:, None], batch.seed[:, None]
    result = mx.zeros((sound.shape[0], samples))
    for name, signal in _signals(batch, time, seed).items():
        result = mx.where(sound == SOUNDS.index(name), signal, result)
    result = result * mx.minimum(time / 0.03, 1.0)  # no click at the start
    now = pose(batch, 0, time[0])
    side = mx.clip(now.x + now.orbit_x, 0, 1) * 0.8 + 0.1
    left, right = mx.cos(side * (math.pi / 2)), mx.sin(side * (math.pi / 2))
    return mx.stack([result * left, result * right], axis=1)


def _steps(time: mx.array, hertz: mx.array) -> mx.array:
    """A scale: the steady tones nearest to a pitch that glides, with short cross-fades between them."""
    step = mx.maximum(hertz / HERTZ_STEP, 1.0)
    below = mx.floor(step)
    share = mx.clip((step - below - 0.5) * 6 + 0.5, 0, 1)
    share = share * share * (3 - 2 * share)
    cycles = time * HERTZ_STEP
    return _voice(cycles * below) * (1 - share) + _voice(cycles * (below + 1)) * share


def _signals(batch: SceneBatch, time: mx.array, seed: mx.array) -> dict[str, mx.array]:
    """Every kind of sound but silence, (B, samples)."""
    signals = {name: 0.45 * _voice(time * hertz) for name, hertz in TONE_HERTZ.items()}
    for name, hertz in SWEEP_HERTZ.items():
        rate = SWEEP_OCTAVES[name] * math.log(2)
        signals[name] = 0.45 * _steps(time, hertz * mx.exp(time * rate))

    period, phase = batch.period[:, :1], batch.phase[:, :1]
    cycles = time / period + phase
    since = (cycles - mx.floor(cycles)) * period
    strike = mx.minimum(since / 0.004, 1.0) * mx.exp(since * (-1 / 0.09)) * (cycles >= 1)
    signals["pulse"] = 0.8 * strike * _voice(time * PULSE_HERTZ)

    swell = 0.65 + 0.35 * mx.sin(2 * math.pi * (time - 0.25))
    sea = swell * (0.55 * _noise(time, 1400, seed) + 0.25 * _noise(time, 5200, seed + 7))
    rain = 0.45 * _noise(time, 11000, seed)
    on_sea = batch.background[:, None] == BACKGROUNDS.index("sea")
    signals["noise"] = mx.where(on_sea, sea, rain)
    return signals
