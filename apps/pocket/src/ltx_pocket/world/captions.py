"""What a person might type for a scene: many words, optional parts, free order."""

import re
from collections.abc import Sequence

import numpy as np

from ltx_pocket.world.phrases import (
    COLOUR_WORDS,
    MOTION_PHRASES,
    NOISE_OF_PLACE,
    OPENINGS,
    PLACE_PHRASES,
    SHAPE_WORDS,
    SIZE_WORDS,
    SOUND_PHRASES,
)
from ltx_pocket.world.scene import Scene, Thing

PARTS = ("colour", "shape", "size", "motion", "background", "sound")


def canonical(scene: Scene) -> str:
    """The one plainest caption, with every part: "a big red ball bouncing on the sea with a low hum"."""
    things = " and ".join(
        f"{_with_article(f'{thing.size} {thing.colour} {SHAPE_WORDS[thing.shape][0]}')}"
        f" {MOTION_PHRASES[thing.motion][0]}"
        for thing in scene.things
    )
    return f"{things} {PLACE_PHRASES[scene.background][0]} {_sound_phrases(scene)[0]}"


def caption(scene: Scene, rng: np.random.Generator, complete: bool = False) -> str:
    """A caption of the scene; different draws word it differently and leave out different parts.

    With complete, nothing is left out (but the word "medium", which nobody types).
    """
    return caption_with_parts(scene, rng, complete)[0]


def caption_with_parts(
    scene: Scene, rng: np.random.Generator, complete: bool = False, without: Sequence[str] = ()
) -> tuple[str, frozenset[str]]:
    """A caption and those of PARTS that it names (about the first thing; the second is always named
    with colour and shape), for a fair judgement of what it asked for.

    Args:
        without: of PARTS, but for the shape; these are left out in any case.
    """
    words = _Words(rng)
    thing = scene.things[0]
    keep = {
        "colour": complete or words.chance(0.96),
        "size": words.chance({"small": 0.6, "medium": 0.15, "big": 0.6}[thing.size])
        or (complete and thing.size != "medium"),
        "motion": complete or words.chance(0.6 if thing.motion == "still" else 0.96),
        "background": complete or words.chance(0.85),
        "sound": complete or words.chance(0.7),
        "shape": True,
    }
    keep |= dict.fromkeys(without, False)
    motion = words.one(MOTION_PHRASES[thing.motion]) if keep["motion"] else ""
    second = words.second(scene.things[1]) if len(scene.things) > 1 else ""
    place = words.one(PLACE_PHRASES[scene.background]) if keep["background"] else ""
    sound = words.one(_sound_phrases(scene)) if keep["sound"] else ""
    subject = words.subject(thing, keep["size"], keep["colour"])
    text = words.arrange(subject, motion, second, place, sound)
    return words.dressed(text), frozenset(part for part, kept in keep.items() if kept)


def known_words() -> frozenset[str]:
    """Every word, in lower case, that some caption can contain."""
    tables: list[Sequence[str]] = [OPENINGS]
    for table in (
        SHAPE_WORDS,
        COLOUR_WORDS,
        SIZE_WORDS,
        MOTION_PHRASES,
        PLACE_PHRASES,
        SOUND_PHRASES,
        NOISE_OF_PLACE,
    ):
        tables.extend(table.values())
    glue = "a an the and that is with while next to there beside plus another of"
    return frozenset(re.findall(r"[a-z]+", " ".join([glue, *(text for table in tables for text in table)])))


def names_a_thing(prompt: str) -> bool:
    """Whether the prompt names one of the world's shapes; without that it is outside of the world."""
    text = " ".join(re.findall(r"[a-z]+", prompt.lower()))
    names = [word for words in SHAPE_WORDS.values() for word in words]
    return any(re.search(rf"\b{name}(es|s)?\b", text) for name in names)


def _sound_phrases(scene: Scene) -> tuple[str, ...]:
    near = NOISE_OF_PLACE.get(scene.background, ()) if scene.sound == "noise" else ()
    return (*near, *SOUND_PHRASES[scene.sound])


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


class _Words:
    """Draws of one caption."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one(self, phrases: Sequence[str]) -> str:
        # The first phrase is the plainest, and as likely as all the others but two together.
        if self.chance(0.3):
            return phrases[0]
        return phrases[int(self.rng.integers(len(phrases)))]

    def noun(self, thing: Thing, size: bool, colour: bool) -> str:
        words = [self.one(SIZE_WORDS[thing.size])] if size else []
        words += [self.one(COLOUR_WORDS[thing.colour])] if colour else []
        if size and colour and self.chance(0.1):
            words.reverse()
        return " ".join([*words, self.one(SHAPE_WORDS[thing.shape])])

    def subject(self, thing: Thing, size: bool, colour: bool) -> str:
        if size and colour and self.chance(0.06):
            shape, size_word = self.one(SHAPE_WORDS[thing.shape]), self.one(SIZE_WORDS[thing.size])
            return f"a {shape} that is {size_word} and {self.one(COLOUR_WORDS[thing.colour])}"
        noun = self.noun(thing, size, colour)
        style = self.rng.random()
        if style < 0.75:
            return _with_article(noun)
        return noun if style < 0.9 else f"the {noun}"

    def second(self, thing: Thing) -> str:
        noun = self.noun(thing, size=self.chance(0.4), colour=True)
        noun = noun if self.chance(0.15) else _with_article(noun)
        if self.chance(0.7 if thing.motion == "spin" else 0.25):
            noun = f"{noun} {self.one(MOTION_PHRASES[thing.motion])}"
        return f"{self.one(('and', 'and', 'next to', 'with', 'beside'))} {noun}"

    def arrange(self, subject: str, motion: str, second: str, place: str, sound: str) -> str:
        """Puts the parts into one of the orders people use."""
        style = self.rng.random()
        if style < 0.45:
            parts = [subject, motion, second, place, sound]
            return " ".join(filter(None, parts)) if self.chance(0.6) else self.with_comma(parts[:-1], sound)
        if style < 0.6:
            return ", ".join(filter(None, [place, " ".join(filter(None, [subject, motion, second])), sound]))
        if style < 0.72:
            parts = [" ".join(filter(None, [subject, motion, second])), sound, place]
            return " ".join(filter(None, parts))
        if style < 0.82:
            head = " ".join(filter(None, [subject, second, place]))
            return ", ".join(filter(None, [head, motion, sound]))
        if style < 0.9:
            scene = " ".join(filter(None, [subject, motion, second, place]))
            return ". ".join(filter(None, [scene, sound]))
        if style < 0.95:
            opening = self.one(OPENINGS)
            return " ".join(filter(None, [opening, subject, motion, second, place, sound]))
        return ", ".join(filter(None, [sound, subject, motion, second, place]))

    def with_comma(self, parts: Sequence[str], last: str) -> str:
        return ", ".join(filter(None, [" ".join(filter(None, parts)), last]))

    def dressed(self, text: str) -> str:
        """Upper and lower case, a full stop."""
        style = self.rng.random()
        if style < 0.3:
            text = text[0].upper() + text[1:]
        elif style < 0.32:
            text = text.upper()
        return f"{text}." if self.chance(0.2) else text
