"""The detectors against clips whose truth is known."""

from collections import Counter

import mlx.core as mx
import numpy as np
import pytest
from ltx_pocket.world import HELD_OUT_SEED, SceneBatch, pack, render, sample_scene, synthesize
from ltx_pocket.world.detectors import Track, bounce_sync, listen, look, psnr
from ltx_pocket.world.detectors.movement import fit_bounce
from ltx_pocket.world.detectors.regions import label
from ltx_pocket.world.scene import Scene, Thing

SIZE, FRAMES, RATE, SAMPLING_RATE = 128, 33, 16.0, 16000


@pytest.fixture(scope="module")
def clips() -> list[tuple[Scene, np.ndarray, np.ndarray]]:
    draw = mx.compile(lambda *batch: render(SceneBatch(*batch), SIZE, SIZE, FRAMES, RATE))
    result = []
    for number in range(24):
        scene = sample_scene(np.random.default_rng(HELD_OUT_SEED + number))
        batch = pack([scene])
        audio = synthesize(batch, FRAMES / RATE, SAMPLING_RATE)
        result.append((scene, np.array(draw(*batch))[0], np.array(audio)[0]))
    return result


def test_what_is_shown_and_heard_is_what_is_measured(
    clips: list[tuple[Scene, np.ndarray, np.ndarray]],
) -> None:
    right: Counter[str] = Counter()
    for number, (scene, video, audio) in enumerate(clips):
        rng = np.random.default_rng(number)
        noisy = np.clip(video + rng.normal(0, 0.02, video.shape), 0, 1)
        seen, heard = look(np.round(noisy * 255) / 255, RATE), listen(audio, SAMPLING_RATE)
        right["background"] += seen.background == scene.background
        right["sound"] += heard.sound == scene.sound
        wanted = {(thing.shape, thing.colour, thing.motion) for thing in scene.things}
        right["things"] += {(thing.shape, thing.colour, thing.motion) for thing in seen.things} == wanted
    assert min(right["background"], right["sound"], right["things"]) >= len(clips) - 1, right


def bouncing(sound: str = "pulse") -> Scene:
    ball = Thing("circle", "red", "big", "bounce", 0.5, 0.66, 0.4, 0.7, 0.4)
    return Scene((ball,), "sea", sound)


def test_pulses_of_a_bounce_are_in_time_and_late_ones_are_not() -> None:
    batch = pack([bouncing()])
    seen = look(np.array(render(batch, 64, 64, FRAMES, RATE))[0], RATE)
    audio = np.array(synthesize(batch, FRAMES / RATE, SAMPLING_RATE))[0]
    assert bounce_sync(seen.things[0].track, listen(audio, SAMPLING_RATE), RATE) < 0.03
    late = np.roll(audio, SAMPLING_RATE // 5, axis=1)
    assert bounce_sync(seen.things[0].track, listen(late, SAMPLING_RATE), RATE) > 0.15
    silent = listen(np.zeros_like(audio), SAMPLING_RATE)
    assert bounce_sync(seen.things[0].track, silent, RATE) == float("inf")


def test_an_empty_or_foreign_clip_is_not_taken_for_the_world() -> None:
    noise = np.random.default_rng(0).random((FRAMES, 64, 64, 3))
    assert look(noise, RATE).background == "unknown"
    empty = np.full((FRAMES, 64, 64, 3), 0.5)
    assert look(empty, RATE).things == ()
    flat_rain = np.broadcast_to(np.array([0.37, 0.44, 0.49]), (FRAMES, 64, 64, 3))
    assert look(flat_rain, RATE).background in ("unknown", "grey")


def test_a_thing_out_of_focus_keeps_its_shape() -> None:
    for shape in ("ring", "cross", "star", "triangle"):
        scene = Scene((Thing(shape, "red", "small", "still", 0.5, 0.5),), "black", "silence")
        video = np.array(render(pack([scene]), SIZE, SIZE, 4, RATE))[0]
        for axis in (1, 2):
            # Three box filters of 5 pixels: nearly a Gaussian of 2.4.
            for _ in range(3):
                video = np.mean([np.roll(video, shift, axis) for shift in range(-2, 3)], axis=0)
        assert [thing.shape for thing in look(video, RATE).things] == [shape]


def test_a_single_frame_can_be_looked_at() -> None:
    video = np.array(render(pack([bouncing()]), 64, 64, 1, RATE))[0]
    seen = look(video, RATE)
    assert seen.background == "sea"
    assert (seen.things[0].shape, seen.things[0].colour) == ("circle", "red")


def test_bounce_fit_recovers_period_and_phase() -> None:
    time = np.arange(FRAMES) / RATE
    part = (time / 0.7 + 0.4) % 1
    found = fit_bounce(0.8 - 0.4 * 4 * part * (1 - part), RATE)
    assert found is not None
    assert (found.period, found.phase, found.height) == pytest.approx((0.7, 0.4, 0.4), abs=0.03)
    assert fit_bounce(np.full(FRAMES, 0.5), RATE) is None
    still = Track(np.full(FRAMES, 0.5), np.full(FRAMES, 0.5), np.full(FRAMES, 0.1), 0.0)
    assert bounce_sync(still, listen(np.zeros((2, 8000)), 8000), RATE) is None


def test_labels_tell_regions_apart() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    labels, count = label(mask)
    assert count == 3
    assert labels[0, 0] == labels[1, 1]
    assert len({labels[0, 0], labels[0, 3], labels[3, 0]}) == 3


def test_psnr() -> None:
    assert psnr(np.zeros(4), np.zeros(4)) == float("inf")
    assert psnr(np.zeros(4), np.full(4, 0.1)) == pytest.approx(20)
