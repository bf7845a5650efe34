"""One clip against its prompt: only what the prompt mentions is judged."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, permutations
from typing import NamedTuple

import numpy as np

from ltx_pocket.world import HELD_OUT_SEED, Scene, caption_with_parts, sample_scene
from ltx_pocket.world.detectors import Clip, Heard, Seen, bounce_sync, listen, look

MEASURES = ("colour", "shape", "motion", "background", "sound")
"""What a clip is judged by."""

NOTHING = "nothing"
"""What is found of a thing that is not there."""


@dataclass(frozen=True)
class Case:
    """A prompt, the scene that it was written for, and the seed of the clip's noise.

    parts: those of `captions.PARTS` that the prompt mentions.
    """

    scene: Scene
    prompt: str
    parts: frozenset[str]
    seed: int

    @property
    def asks_for_pulses(self) -> bool:
        """Whether the prompt wants a sound on every bounce."""
        bounces = self.scene.things[0].motion == "bounce" and self.scene.sound == "pulse"
        return bounces and {"motion", "sound"} <= self.parts


def unseen(seed: int) -> Iterator[Case]:
    """Prompts of scenes that no training run sees, without end, the same ones for the same seed."""
    scenes = np.random.default_rng(HELD_OUT_SEED + seed)
    words = np.random.default_rng([HELD_OUT_SEED, seed])
    for number in count(10_000 * seed):
        scene = sample_scene(scenes)
        yield Case(scene, *caption_with_parts(scene, words), number)


class Made(NamedTuple):
    """A clip to judge: uint8 frames (F, H, W, 3), and its sound (2, samples) in [-1, 1]."""

    frames: np.ndarray
    frame_rate: float
    waveform: np.ndarray
    sampling_rate: int


class Pair(NamedTuple):
    """One word that was asked for, and what was found in its place."""

    wanted: str
    found: str


@dataclass(frozen=True)
class Verdict:
    """What became of a prompt.

    Attributes:
        pairs: for every measure that the prompt mentions, what was asked for and what was found.
        things: how many were asked for, and how many were found.
        sync: seconds from the contacts of a bounce to the pulses that were asked for with it; infinity where
            the clip has no bounce or no pulses, None where none were asked for.
    """

    pairs: dict[str, tuple[Pair, ...]]
    things: tuple[int, int]
    sync: float | None

    def right(self, measure: str) -> bool | None:
        """Whether everything asked for is there; None where nothing was."""
        pairs = self.pairs.get(measure)
        return None if pairs is None else all(pair.wanted == pair.found for pair in pairs)


def judge(case: Case, made: Made) -> Verdict:
    """Measure a clip, and compare it with its prompt."""
    seen = look(made.frames / np.float32(255), made.frame_rate)
    return compare(case, seen, listen(made.waveform, made.sampling_rate), made.frame_rate)


def compare(case: Case, clip: Clip, heard: Heard, frame_rate: float) -> Verdict:
    """What was measured against what was asked for.

    A prompt names its second thing by colour and shape; its motion may be left out, so it is not judged.
    """
    scene, parts = case.scene, case.parts
    wanted = [{name: getattr(thing, name) for name in ("colour", "shape")} for thing in scene.things]
    if "colour" not in parts:
        del wanted[0]["colour"]
    if "motion" in parts:
        wanted[0]["motion"] = scene.things[0].motion
    found = assign(wanted, clip.things)

    pairs: dict[str, tuple[Pair, ...]] = {}
    for measure in ("colour", "shape", "motion"):
        own = tuple(
            Pair(words[measure], _word(thing, measure))
            for words, thing in zip(wanted, found, strict=True)
            if measure in words
        )
        if own:
            pairs[measure] = own
    if "background" in parts:
        pairs["background"] = (Pair(scene.background, clip.background),)
    if "sound" in parts:
        pairs["sound"] = (Pair(scene.sound, heard.sound),)

    sync = _sync(found[0], heard, frame_rate) if case.asks_for_pulses else None
    return Verdict(pairs, (len(scene.things), len(clip.things)), sync)


def assign(wanted: Sequence[dict[str, str]], seen: Sequence[Seen]) -> tuple[Seen | None, ...]:
    """For every thing that was asked for the one that stands for it, None where there are too few.

    Of more things than were asked for, those that are seen most count. Their order says nothing: the
    assignment is the one in which most is right.
    """
    present: list[Seen | None] = [*seen[: len(wanted)]]
    present += [None] * (len(wanted) - len(present))

    def score(order: tuple[Seen | None, ...]) -> int:
        return sum(
            _word(thing, measure) == word
            for words, thing in zip(wanted, order, strict=True)
            for measure, word in words.items()
        )

    return max(permutations(present), key=score)


def _word(thing: Seen | None, measure: str) -> str:
    return NOTHING if thing is None else getattr(thing, measure)


def _sync(thing: Seen | None, heard: Heard, frame_rate: float) -> float:
    # A parabola can be laid through any track: only one that is a bounce has contacts.
    if thing is None or thing.motion != "bounce":
        return math.inf
    seconds = bounce_sync(thing.track, heard, frame_rate)
    return math.inf if seconds is None else seconds
