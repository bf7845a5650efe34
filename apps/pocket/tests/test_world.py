"""Scenes, pictures and sound of the little world."""

import json

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_pocket.world import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    SHAPES,
    SOUNDS,
    Scene,
    SceneBatch,
    Thing,
    pack,
    render,
    sample_scene,
    synthesize,
)
from ltx_pocket.world.motion import contacts, pose
from ltx_pocket.world.shapes import distance
from ltx_pocket.world.vocabulary import ROUND_SHAPES, SIZE_RADIUS

seeds = st.integers(0, 2**31)


def scene(motion: str = "still", sound: str = "silence", **thing: float) -> Scene:
    place = {"x": 0.5, "y": 0.5, **thing}
    return Scene((Thing("circle", "red", "medium", motion, **place),), "black", sound)


def frames(
    scenes: list[Scene], height: int = 32, width: int = 32, count: int = 3, rate: float = 8
) -> np.ndarray:
    return np.array(render(pack(scenes), height, width, count, rate))


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_a_scene_survives_json(seed: int) -> None:
    drawn = sample_scene(np.random.default_rng(seed))
    assert Scene.from_dict(json.loads(json.dumps(drawn.to_dict()))) == drawn


def test_equal_seeds_draw_equal_scenes() -> None:
    first, second = (sample_scene(np.random.default_rng(7)) for _ in range(2))
    assert first == second


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_sampled_scenes_make_sense(seed: int) -> None:
    drawn = sample_scene(np.random.default_rng(seed))
    assert all(thing.colour != drawn.background for thing in drawn.things)
    assert not any(thing.motion == "spin" and thing.shape in ROUND_SHAPES for thing in drawn.things)
    assert drawn.sound != "pulse" or drawn.things[0].motion == "bounce"
    if len(drawn.things) == 2:
        first, second = drawn.things
        assert first.colour != second.colour
        assert first.shape != second.shape


@given(seeds, st.sampled_from([(1.0, 1.0), (1.5, 1.0), (1.0, 1.5)]))
@settings(max_examples=50, deadline=None)
def test_things_stay_half_visible_and_apart_for_four_seconds(seed: int, size: tuple[float, float]) -> None:
    drawn = sample_scene(np.random.default_rng(seed))
    width, height = size
    batch, time = pack([drawn]), mx.arange(65).astype(mx.float32) / 16
    boxes = []
    for number, thing in enumerate(drawn.things):
        now = pose(batch, number, time)
        x = np.array(now.x * width + now.orbit_x)[0]
        y = np.array(now.y * height + now.orbit_y)[0]
        assert 0 <= x.min() <= x.max() <= width
        assert 0 <= y.min() <= y.max() <= height
        boxes.append((x, y, SIZE_RADIUS[thing.size] * np.array(now.scale)[0]))
    if len(boxes) == 2:
        (ax, ay, ar), (bx, by, br) = boxes
        assert (np.hypot(ax - bx, ay - by) > ar + br).all()


def test_sampling_covers_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_scene(rng) for _ in range(800)]
    first = [one.things[0] for one in drawn]
    assert {thing.shape for thing in first} == set(SHAPES)
    assert {thing.colour for thing in first} == set(COLOURS)
    assert {thing.motion for thing in first} == set(MOTIONS)
    assert {one.background for one in drawn} == set(BACKGROUNDS)
    assert {one.sound for one in drawn} == set(SOUNDS)
    assert 0.2 < np.mean([len(one.things) == 2 for one in drawn]) < 0.3


def test_pictures_have_the_asked_shape_and_range() -> None:
    rng = np.random.default_rng(1)
    pictures = frames([sample_scene(rng) for _ in range(6)], 24, 40, 5)
    assert pictures.shape == (6, 5, 24, 40, 3)
    assert pictures.dtype == np.float32
    assert np.isfinite(pictures).all()
    assert 0 <= pictures.min() <= pictures.max() <= 1


def test_a_scene_looks_the_same_alone_in_a_batch_and_compiled() -> None:
    rng = np.random.default_rng(2)
    drawn = [sample_scene(rng) for _ in range(4)]
    together = frames(drawn)
    np.testing.assert_allclose(frames(drawn[2:3]), together[2:3], atol=1e-6)
    compiled = mx.compile(lambda *batch: render(SceneBatch(*batch), 32, 32, 3, 8))
    np.testing.assert_allclose(np.array(compiled(*pack(drawn))), together, atol=1e-4)


def test_a_scene_looks_the_same_at_other_sizes_lengths_and_rates() -> None:
    drawn = [scene("right", x=0.25, extent=0.4)]
    small, large = frames(drawn, 32, 32), frames(drawn, 64, 64)
    averaged = large.reshape(1, 3, 32, 2, 32, 2, 3).mean(axis=(3, 5))
    assert np.abs(averaged - small).mean() < 0.01
    np.testing.assert_allclose(frames(drawn, count=5, rate=16)[:, ::2], small, atol=1e-5)


def test_edges_are_smooth() -> None:
    """A disc that moves by a tenth of a pixel changes the picture by about as much everywhere."""
    first, second = frames([scene(x=0.5), scene(x=0.5 + 0.1 / 32)])[:, 0]
    assert 0 < np.abs(first - second).max() < 0.15


@pytest.mark.parametrize(
    ("motion", "dx", "dy"), [("right", 1, 0), ("left", -1, 0), ("up", 0, -1), ("down", 0, 1), ("still", 0, 0)]
)
def test_straight_motions_go_where_they_say(motion: str, dx: int, dy: int) -> None:
    now = pose(pack([scene(motion, extent=0.4)]), 0, mx.array([0.0, 2.0]))
    x, y = np.array(now.x)[0], np.array(now.y)[0]
    np.testing.assert_allclose([x[1] - x[0], y[1] - y[0]], [0.4 * dx, 0.4 * dy], atol=1e-5)


def test_a_bounce_touches_the_ground_at_its_contacts() -> None:
    moments = contacts(0.7, 0.4, 2.0)
    np.testing.assert_allclose(moments, [0.42, 1.12, 1.82])
    now = pose(pack([scene("bounce", y=0.8, extent=0.4, period=0.7, phase=0.4)]), 0, mx.array(moments))
    np.testing.assert_allclose(np.array(now.y)[0], 0.8, atol=1e-4)


@given(st.sampled_from(SHAPES), st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 6.28), st.floats(0.01, 0.5))
@settings(max_examples=50, deadline=None)
def test_distances_never_overestimate_a_step(
    shape: str, x: float, y: float, angle: float, step: float
) -> None:
    """A signed distance changes by no more than the way walked."""
    xs = mx.array([x, x + step * np.cos(angle)], mx.float32)
    ys = mx.array([y, y + step * np.sin(angle)], mx.float32)
    before, after = np.array(distance(mx.array(SHAPES.index(shape)), xs, ys))
    assert abs(after - before) <= step * 1.001 + 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_their_circle(shape: str) -> None:
    line = (mx.arange(96).astype(mx.float32) + 0.5) / 32 - 1.5
    inside = np.array(distance(mx.array(SHAPES.index(shape)), line[None, :], line[:, None])) < 0
    rows, columns = np.nonzero(inside)
    reach = np.hypot(rows - 47.5, columns - 47.5).max() / 32
    assert 0.8 < reach < 1.13
    assert 0.25 < inside.sum() / 32**2 / np.pi < 0.95


def sounds(scenes: list[Scene], seconds: float = 1.0, rate: int = 8000) -> np.ndarray:
    return np.array(synthesize(pack(scenes), seconds, rate))


def test_sound_has_the_asked_length_and_range() -> None:
    rng = np.random.default_rng(3)
    audio = sounds([sample_scene(rng) for _ in range(30)], 0.37, 8001)
    assert audio.shape == (30, 2, round(0.37 * 8001))
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1
    assert not sounds([scene()]).any()


@pytest.mark.parametrize(("sound", "hertz"), [("low", 200), ("middle", 500), ("high", 1200)])
def test_tones_have_their_pitch(sound: str, hertz: float) -> None:
    left = sounds([scene(sound=sound)])[0, 0]
    assert abs(int(np.abs(np.fft.rfft(left * np.hanning(len(left)))).argmax()) - hertz) <= 2


def test_a_sound_is_the_same_at_another_rate() -> None:
    for name in SOUNDS:
        one = [scene("bounce", name, period=0.6, phase=0.3)]
        np.testing.assert_allclose(sounds(one, rate=16000)[..., ::2], sounds(one), atol=2e-3)


def test_the_sound_follows_the_thing() -> None:
    audio = sounds([scene("right", "middle", x=0.2, extent=0.6)], 2.0)[0]
    start, end = (np.sqrt((part**2).mean(axis=1)) for part in (audio[:, 400:2000], audio[:, -2000:]))
    assert start[0] > 1.5 * start[1]
    assert end[1] > 1.5 * end[0]


def test_pulses_start_at_the_contacts() -> None:
    level = np.abs(sounds([scene("bounce", "pulse", y=0.8, extent=0.4, period=0.7, phase=0.4)], 2.0)[0]).sum(
        axis=0
    )
    assert level[: int(0.419 * 8000)].max() == 0
    for moment in (0.42, 1.12, 1.82):
        at = int(moment * 8000)
        assert level[at - 200 : at].max() < 0.05
        assert level[at : at + 200].max() > 0.3
