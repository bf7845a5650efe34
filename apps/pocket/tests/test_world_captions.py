"""The caption grammar."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_pocket.world import Scene, Thing, canonical, caption, caption_with_parts, known_words, sample_scene
from ltx_pocket.world.captions import names_a_thing
from ltx_pocket.world.phrases import COLOUR_WORDS, MOTION_PHRASES, SHAPE_WORDS

seeds = st.integers(0, 2**31)


def names_one_of(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text.lower() for phrase in phrases)


def test_the_canonical_caption_reads_like_the_example() -> None:
    ball = Thing("circle", "red", "big", "bounce", 0.5, 0.7)
    assert canonical(Scene((ball,), "sea", "low")) == "a big red ball bouncing on the sea with a low hum"


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_captions_name_the_parts_they_claim(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng)
    text, parts = caption_with_parts(scene, rng)
    thing = scene.things[0]
    assert names_one_of(text, SHAPE_WORDS[thing.shape])
    assert "colour" not in parts or names_one_of(text, COLOUR_WORDS[thing.colour])
    assert "motion" not in parts or names_one_of(text, MOTION_PHRASES[thing.motion])
    if len(scene.things) == 2:
        assert names_one_of(text, SHAPE_WORDS[scene.things[1].shape])
        assert names_one_of(text, COLOUR_WORDS[scene.things[1].colour])


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_captions_are_clean_text_of_known_words(seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = caption(sample_scene(rng), rng)
    assert text == " ".join(text.split())
    assert not re.search(r" [,.]|[,.]{2}|^[,.]", text)
    assert set(re.findall(r"[a-z]+", text.lower())) <= known_words()
    assert names_a_thing(text)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_complete_captions_leave_nothing_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng)
    _, parts = caption_with_parts(scene, rng, complete=True)
    assert parts >= {"shape", "colour", "motion", "background", "sound"}


def test_one_scene_has_many_captions() -> None:
    rng = np.random.default_rng(0)
    scene = sample_scene(rng)
    assert len({caption(scene, rng) for _ in range(200)}) > 150


@pytest.mark.parametrize(
    ("prompt", "inside"),
    [("Three RED BALLS", True), ("a box", True), ("an astronaut eating noodles", False), ("", False)],
)
def test_prompts_outside_of_the_world_are_told(prompt: str, inside: bool) -> None:
    assert names_a_thing(prompt) is inside
