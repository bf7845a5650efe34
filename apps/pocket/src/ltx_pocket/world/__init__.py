"""The little world of the pocket model: scenes, their pictures, their sounds, their captions."""

from ltx_pocket.world.captions import canonical, caption, caption_with_parts, known_words, names_a_thing
from ltx_pocket.world.render import Style, render, silhouettes
from ltx_pocket.world.scene import HELD_OUT_SEED, Scene, SceneBatch, Thing, pack, sample_scene
from ltx_pocket.world.sound import synthesize
from ltx_pocket.world.vocabulary import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, SIZES, SOUNDS

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "HELD_OUT_SEED",
    "MOTIONS",
    "SHAPES",
    "SIZES",
    "SOUNDS",
    "Scene",
    "SceneBatch",
    "Style",
    "Thing",
    "canonical",
    "caption",
    "caption_with_parts",
    "known_words",
    "names_a_thing",
    "pack",
    "render",
    "sample_scene",
    "silhouettes",
    "synthesize",
]
