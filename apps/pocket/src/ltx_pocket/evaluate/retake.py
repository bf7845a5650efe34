"""A part of a clip made anew: whether the rest is as it was, and whether that part does what is asked for."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from ltx_core import Audio
from ltx_pipelines import CheckpointModels, GenerationResult, RetakeConfig, RetakePipeline
from ltx_pipelines.decoding import decode_frames, decode_sound
from ltx_pipelines.events import ignore
from ltx_pipelines.sources import encode_clip, encode_sound
from ltx_pipelines.stages import pixel_shape

from ltx_pocket.evaluate.judge import Case, Made
from ltx_pocket.evaluate.makers import Size, World, made_of, video_input
from ltx_pocket.evaluate.numbers import mean, share, worst
from ltx_pocket.evaluate.parts import Series, similarity
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.world import COLOURS
from ltx_pocket.world.captions import PARTS, canonical
from ltx_pocket.world.detectors import listen, look

TARGET = 35.0
"""Decibels of what is to stay, against the source."""

REACH = 0.25
"""Seconds over which decoders carry what is new into what is not."""


class Source(NamedTuple):
    """A source, its latents, and what the autoencoders give of them."""

    given: Made
    video: mx.array
    audio: mx.array
    clip: Made


class Retake(NamedTuple):
    """A clip of which a part was made anew, as it is, and as the autoencoders give all of it."""

    config: RetakeConfig
    source: Source
    result: GenerationResult
    clip: Made
    decoded: Made


def changed(case: Case) -> Case:
    """The case with the first thing in another colour, and with another tone."""
    scene = case.scene
    taken = {scene.background, *(thing.colour for thing in scene.things)}
    colours = [name for name in COLOURS if name not in taken]
    colour = colours[case.seed % len(colours)]
    things = (replace(scene.things[0], colour=colour), *scene.things[1:])
    other = replace(scene, things=things, sound="low" if scene.sound == "high" else "high")
    return Case(other, canonical(other), frozenset(PARTS), case.seed)


class Retaker:
    """The pipeline on the middle third of scenes."""

    def __init__(self, models: CheckpointModels, size: Size) -> None:
        self.models, self.size, self.world = models, size, World(size)
        self.pipeline = RetakePipeline(models, distilled=True)

    def __call__(self, case: Case) -> Retake:
        """Ask for what `changed` makes of the case."""
        seconds = self.size.num_frames / self.size.frame_rate
        asked = changed(case)
        given = self.world(case)
        config = RetakeConfig(
            prompt=asked.prompt,
            seed=case.seed,
            source=video_input(given),
            start_time=seconds / 3,
            end_time=seconds * 2 / 3,
        )
        result = self.pipeline(config)
        assert result.video_latent is not None
        assert result.audio_latent is not None
        decoded = self.decoded(result.video_latent, result.audio_latent, config.frame_rate)
        return Retake(config, self.source(config, given), result, made_of(result), decoded)

    def source(self, config: RetakeConfig, given: Made) -> Source:
        """The source of a config through the autoencoders."""
        size = config.height, config.width, config.num_frames
        video = encode_clip(self.models, config.clip.pixels(*size, config.frame_rate), ignore)
        sound = config.clip.sound(config.seconds)
        assert sound is not None
        audio = encode_sound(self.models, sound, pixel_shape(config), ignore)
        return Source(given, video, audio, self.decoded(video, audio, config.frame_rate))

    def decoded(self, video: mx.array, audio: mx.array, frame_rate: float) -> Made:
        """What the decoders make of latents."""
        heard = decode_sound(self.models, audio, ignore)
        assert isinstance(heard, Audio)
        waveform = np.array(heard.waveform.astype(mx.float32))
        return Made(decode_frames(self.models, video, ignore), frame_rate, waveform, heard.sampling_rate)


def touched_latents(retake: Retake) -> tuple[np.ndarray, np.ndarray]:
    """Which latent frames of picture and sound the range touches: a latent frame of the picture stands for 8
    of the clip, the first for one; one of the sound for 0.04 s, the first for 0.01 s."""
    config = retake.config
    ends_video = (8 * np.arange(retake.source.video.shape[2]) + 1) / config.frame_rate
    ends_audio = 0.04 * np.arange(retake.source.audio.shape[2]) + 0.01

    def touched(ends: np.ndarray) -> np.ndarray:
        starts = np.concatenate([[0], ends[:-1]])
        return (ends > config.start_time + 1e-6) & (starts < config.end_time - 1e-6)

    return touched(ends_video), touched(ends_audio)


def exact(before: mx.array, after: mx.array | None, touched: np.ndarray) -> bool:
    """Whether latents (1, C, F, ...) are the same outside."""
    assert after is not None
    kept = np.nonzero(~touched)[0]
    return np.array_equal(np.array(before)[:, :, kept], np.array(after)[:, :, kept])


def measure_retakes(make: Retaker, cases: Iterable[Case], sheet: ContactSheet) -> dict[str, Any]:
    """What is the same outside of the range, and what is new in it; plain JSON values."""
    series = Series(sheet)
    rows: dict[str, list[Any]] = {}
    for case in cases:
        with series.timed():
            retake = make(case)
        series.keep(changed(case), retake.clip)
        for name, value in _compare(changed(case), retake).items():
            rows.setdefault(name, []).append(value)
    numbers = {
        "outside, picture exact in latents, %": share(rows["video"], 100),
        "outside, sound exact in latents, %": share(rows["audio"], 100),
        "outside, picture, dB": mean(rows["outside"], TARGET),
        "  the worst": worst(rows["outside"], TARGET),
        "  if it is decoded, too": mean(rows["decoded"]),
        f"  decoded and {REACH:g} s away, the worst": worst(rows["away"]),
        "outside, sound, dB": mean(rows["sound"], TARGET),
        "  the worst sound": worst(rows["sound"], TARGET),
        "  sound, if it is decoded, too": mean(rows["sound_decoded"]),
        f"  decoded sound {REACH:g} s away, the worst": worst(rows["sound_away"]),
        "inside, picture, dB": mean(rows["inside"]),
        "inside, the colour that is asked for, %": share(rows["colour"]),
        "inside, the tone that is asked for, %": share(rows["heard"]),
    }
    return {"numbers": numbers, **series.summary()}


def _compare(asked: Case, retake: Retake) -> dict[str, Any]:
    video, audio = touched_latents(retake)
    # All frames that belong to a latent frame.
    inside = np.concatenate([video[:1], np.repeat(video[1:], 8)])
    before, after, given = retake.source.clip, retake.decoded, retake.source.given
    rate, samples = before.sampling_rate, before.waveform.shape[1]
    when = np.arange(samples) / rate
    latent = np.minimum((np.maximum(when - 0.01, 0) / 0.04).astype(int) + (when >= 0.01), len(audio) - 1)
    sounding = audio[latent]
    times = np.arange(len(inside)) / before.frame_rate
    away = np.abs(times[:, None] - times[inside][None]).min(axis=1) > REACH
    still = np.abs(when[:, None] - when[sounding][[0, -1]]).min(axis=1) > REACH
    still &= ~sounding
    clip = retake.clip
    seen = look(clip.frames[inside] / np.float32(255), clip.frame_rate).things
    kept = np.nonzero(~sounding[: clip.waveform.shape[1]])[0]
    return {
        "video": exact(retake.source.video, retake.result.video_latent, video),
        "audio": exact(retake.source.audio, retake.result.audio_latent, audio),
        "outside": similarity(clip.frames[~inside], given.frames[~inside]),
        "decoded": similarity(after.frames[~inside], before.frames[~inside]),
        "away": similarity(after.frames[away], before.frames[away]) if away.any() else None,
        "inside": similarity(after.frames[inside], before.frames[inside]),
        "sound": _ratio(given.waveform[:, kept], clip.waveform[:, kept]),
        "sound_decoded": _ratio(before.waveform[:, ~sounding], after.waveform[:, ~sounding]),
        "sound_away": _ratio(before.waveform[:, still], after.waveform[:, still]),
        "colour": any(thing.colour == asked.scene.things[0].colour for thing in seen),
        "heard": listen(clip.waveform[:, : len(sounding)][:, sounding[: clip.waveform.shape[1]]], rate).sound
        == asked.scene.sound,
    }


def _ratio(before: np.ndarray, after: np.ndarray) -> float | None:
    """Of a sound to its change, in dB; None for silence."""
    if not before.size:
        return None
    power, error = (before**2).mean(), ((before - after) ** 2).mean()
    if power < 1e-4:
        return None
    return float("inf") if error == 0 else float(10 * np.log10(power / error))
