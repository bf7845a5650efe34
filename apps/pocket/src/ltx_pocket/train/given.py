"""What of a clip is given, and clips that tell whether text or surroundings decide about the rest.

Retake and extension give a clip but for a time range. A network that learnt this from whole clips alone would
paint the range as its surroundings are, whatever the text says. So some scenes are encoded twice, the second
time with other colours and another sound: a range of the one, described by its caption, between parts of the
other.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from ltx_core.tools import AudioLatentTools, VideoLatentTools

from ltx_pocket.world import Scene
from ltx_pocket.world.vocabulary import BACKGROUNDS, COLOURS, SOUNDS

IMAGE = 0.25
"""Part of the clips that start from a given first frame."""

FROZEN = 0.03
"""Part of the clips whose sound is given, and of those whose pictures are."""

RANGES = 0.12
"""Part of the clips of which a time range is made: the middle, the end or the beginning."""

SPLICED = 0.5
"""Part of those whose given parts are of the twin, where there is one."""

TWINS = 0.25
"""Part of the scenes that are twins of each other."""

# What is made of a range: picture and sound; the picture, and all of the sound; the picture beside a sound
# that is given; the sound beside a picture that is.
KINDS = (0.55, 0.15, 0.15, 0.15)


def group_size(tokens: int) -> int:
    """Audio tokens that are given together: the most up to 4 that their number is a multiple of."""
    return max(size for size in (1, 2, 3, 4) if tokens % size == 0)


class Times(NamedTuple):
    """Seconds [start, end) of latent frames (F, 2) and of groups of audio tokens (G, 2)."""

    frames: np.ndarray
    sounds: np.ndarray

    @staticmethod
    def of(video: VideoLatentTools, audio: AudioLatentTools) -> "Times":
        """As `TemporalRegionMask` has them."""
        shape = video.target_shape
        frames = np.array(video.positions())[0, 0, :: shape.height * shape.width]
        tokens = np.array(audio.positions())[0, 0]
        size = group_size(len(tokens))
        return Times(frames, np.stack([tokens[::size, 0], tokens[size - 1 :: size, 1]], axis=-1))


class Given(NamedTuple):
    """What is given of a batch of clips, all bool.

    Attributes:
        frames, sounds: (B, F) and (B, G), see `Times`.
        video, audio: (B,) streams that are given as a whole, by a noise level of 0.
        ranges: (B,) clips of which a time range is made.
    """

    frames: np.ndarray
    sounds: np.ndarray
    video: np.ndarray
    audio: np.ndarray
    ranges: np.ndarray


def outside(rng: np.random.Generator, size: int, times: Times) -> tuple[np.ndarray, np.ndarray]:
    """Frames (size, F) and groups of audio tokens (size, G) that random time ranges do not touch."""
    end = times.frames[-1, 1]
    first, last = np.sort(rng.uniform(0, 0.97 * end, (2, size)), axis=0)
    kind = rng.integers(3, size=size)
    first, last = np.where(kind == 1, 0, first)[:, None], np.where(kind == 2, np.inf, last)[:, None]
    frames, sounds = ((t[:, 1] <= first) | (t[:, 0] >= last) for t in times)
    return frames, sounds


def draw_given(rng: np.random.Generator, size: int, times: Times, images: int = 0) -> Given:
    """At random.

    Args:
        images: given beside the clips, as the last of their frames. One stands at the end, and every other
            clip starts from a frame of its own then; two stand at both ends. No time ranges are made.
    """
    frames = np.zeros((size, len(times.frames) + images), bool)
    sounds = np.zeros((size, len(times.sounds)), bool)
    frames[:, 0] = rng.random(size) < (IMAGE, 0.5, 0.0)[images]
    chance = rng.random(size)
    video, audio = chance < FROZEN, chance > 1 - FROZEN
    ranges = (rng.random(size) < RANGES) & (not images)
    kind = rng.choice(len(KINDS), p=KINDS, size=size)
    own_frames, own_sounds = outside(rng, size, times)
    if images:
        frames[:, -images:] = True
    else:
        frames = np.where(ranges[:, None], own_frames & (kind != 3)[:, None], frames)
    sounds = np.where(ranges[:, None], own_sounds & np.isin(kind, (0, 3))[:, None], sounds)
    return Given(
        frames, sounds, np.where(ranges, kind == 3, video), np.where(ranges, kind == 2, audio), ranges
    )


def twin(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with other colours and another sound, sometimes on another background."""
    background = scene.background
    if rng.random() < 0.3:
        background = str(rng.choice([other for other in BACKGROUNDS if other != background]))
    things, taken = [], {background, *(thing.colour for thing in scene.things)}
    for thing in scene.things:
        colour = str(rng.choice([colour for colour in COLOURS if colour not in taken]))
        taken.add(colour)
        things.append(replace(thing, colour=colour))
    sounds = [sound for sound in SOUNDS if sound not in (scene.sound, "pulse")]
    return replace(scene, things=tuple(things), background=background, sound=str(rng.choice(sounds)))


def add_twins(scenes: Sequence[Scene], rng: np.random.Generator) -> tuple[list[Scene], np.ndarray]:
    """The scenes, the last of them twins of the first ones, and the number of each one's twin, its own for
    none."""
    pairs, numbers = round(len(scenes) * TWINS / 2), np.arange(len(scenes))
    rest = len(scenes) - pairs
    numbers[:pairs], numbers[rest:] = numbers[rest:].copy(), numbers[:pairs].copy()
    return [*scenes[:rest], *(twin(scene, rng) for scene in scenes[:pairs])], numbers
