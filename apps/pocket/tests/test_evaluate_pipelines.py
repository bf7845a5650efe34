"""The measurement of single pipelines: the world's own clips are right, wrong ones are found out."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import numpy as np
import pytest
from ltx_pocket.evaluate.beat import off_the_beat
from ltx_pocket.evaluate.command import evaluate
from ltx_pocket.evaluate.doubling import unevenness
from ltx_pocket.evaluate.extension import continuation
from ltx_pocket.evaluate.judge import Case, Made
from ltx_pocket.evaluate.keyframes import half_way, no_cross_fade
from ltx_pocket.evaluate.makers import Size, World
from ltx_pocket.evaluate.numbers import mean, share, worst
from ltx_pocket.evaluate.pictures import pictures
from ltx_pocket.evaluate.retake import changed
from ltx_pocket.evaluate.sharpness import edge_strength
from ltx_pocket.evaluate.strips import spectrogram, stacked, strip
from ltx_pocket.evaluate.tracks import STRAIGHT, travelling
from ltx_pocket.files import IC_LORA
from ltx_pocket.world import Scene, Thing
from ltx_pocket.world.captions import PARTS
from PIL import Image

from tests.untrained_pocket import write_untrained

WORLD = World(Size(128, 128))
BALL = Thing("circle", "red", "medium", "right", 0.25, 0.5, 0.42)
CASE = Case(Scene((BALL,), "black", "low"), "whatever", frozenset(PARTS), 0)
PARTS_OF_PIPELINES = "stages,keyframes,audio-to-video,text-to-audio,retake,extend,frame-rate"


@pytest.fixture(scope="module")
def truth() -> Made:
    return WORLD(CASE)


def test_a_thing_on_its_way_is_no_cross_fade(truth: Made) -> None:
    assert half_way(CASE, truth)
    assert no_cross_fade(truth, truth)
    ends = truth.frames[[0, -1]].astype(np.float32)
    weight = np.linspace(0, 1, len(truth.frames))[:, None, None, None]
    faded = truth._replace(frames=(ends[0] * (1 - weight) + ends[1] * weight).astype(np.uint8))
    assert not no_cross_fade(truth, faded)
    standing = truth._replace(frames=np.repeat(truth.frames[:1], len(truth.frames), axis=0))
    assert not half_way(CASE, standing)


@pytest.mark.parametrize("before", [False, True])
def test_what_goes_on_is_told_from_what_stands_still(truth: Made, before: bool) -> None:
    right = continuation(CASE, truth, 16, before)
    assert right["speed"] == pytest.approx(100, abs=5)
    assert right["distance"] == pytest.approx(0, abs=1)
    assert right["jump"] == pytest.approx(0, abs=1)
    seam = -17 if before is False else 16
    frames = truth.frames.copy()
    if before:
        frames[:16] = frames[seam]
    else:
        frames[-16:] = frames[seam]
    wrong = continuation(CASE, truth._replace(frames=frames), 16, before)
    assert wrong["speed"] == pytest.approx(0, abs=5)
    assert wrong["distance"] == pytest.approx(wrong["still"], abs=1)


def test_bounces_are_compared_with_any_sound() -> None:
    bounce = replace(BALL, motion="bounce", x=0.5, y=0.7, extent=0.45, phase=0.4)
    case = Case(Scene((bounce,), "black", "pulse"), "", frozenset(PARTS), 0)
    late = replace(case, scene=replace(case.scene, things=(replace(bounce, phase=0.6),)))
    own, other = WORLD(case), WORLD(late)
    assert off_the_beat(case, own, own) == pytest.approx(0, abs=0.03)
    assert off_the_beat(case, own, other) == pytest.approx(0.2, abs=0.04)
    assert off_the_beat(CASE, WORLD(CASE), own) is None


def test_a_retake_asks_for_other_colours_and_tones() -> None:
    for case in islice(travelling(3), 3):
        asked = changed(case)
        assert case.scene.things[0].motion in STRAIGHT
        assert asked.scene.things[0].colour not in (case.scene.things[0].colour, case.scene.background)
        assert asked.scene.sound != case.scene.sound
        assert asked.scene.things[0].colour in asked.prompt


def test_sharpness_and_evenness(truth: Made) -> None:
    frames = truth.frames.astype(np.float32)
    soft = np.mean(
        [np.roll(frames, (down, right), axis=(1, 2)) for down in range(3) for right in range(3)], 0
    )
    assert edge_strength(soft) < 0.9 * edge_strength(truth.frames)
    assert unevenness(truth.frames) < 2
    assert unevenness(np.concatenate([truth.frames[:8], truth.frames[16:]])) > 2


def test_numbers_leave_out_what_was_not_measured() -> None:
    assert mean([1.0, None, float("nan"), 3.0], 2) == {"value": 2.0, "clips": 2, "target": 2}
    assert worst([float("inf"), 120.0])["value"] == 99.0
    assert share([True, None, False])["value"] == 50.0
    assert share([None])["value"] is None
    assert mean([])["value"] is None


def test_strips(truth: Made) -> None:
    row = strip(truth.frames)
    assert row.shape == (128, 5 * 128 + 4 * 2, 3)
    sound = spectrogram(truth.waveform, truth.sampling_rate)
    assert sound.shape == (64, 648, 3)
    assert sound.max() > 200
    assert stacked(sound, row).shape == (64 + 2 + 128, 648, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_untrained(tmp_path_factory.mktemp("model"))
    # Any LoRA: no reference is followed here.
    (folder / IC_LORA).write_bytes((folder / "distilled_lora.safetensors").read_bytes())
    return folder


def test_every_pipeline_is_measured(model: Path, tmp_path: Path) -> None:
    evaluate(
        out=tmp_path,
        part=PARTS_OF_PIPELINES,
        few=1,
        steps=2,
        height=64,
        width=64,
        num_frames=17,
        weights=model,
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["stages"]) == ["one-stage", "two-stage", "two-stage-hq", "distilled", "autoencoders"]
    numbers = {
        part: next(iter(report[part].values())).get("numbers", {}) for part in PARTS_OF_PIPELINES.split(",")
    }
    # What holds with any weights.
    assert numbers["retake"]["outside, picture exact in latents, %"]["value"] == 100
    assert numbers["retake"]["outside, sound exact in latents, %"]["value"] == 100
    assert numbers["audio-to-video"]["sound kept exactly, %"]["value"] == 100
    assert numbers["frame-rate"]["frames doubled, %"]["value"] == 100
    for series in report["extend"].values():
        assert series["numbers"]["the given half unchanged, %"]["value"] == 100
    assert report["text-to-audio"]["text-to-audio"]["measures"]["sound"]["judged"] == 1
    assert (tmp_path / "extend-before.png").stat().st_size > 100


def test_pictures_of_every_pipeline(model: Path, tmp_path: Path) -> None:
    pictures(tmp_path, None, tmp_path / "frame.png", model, height=64, width=64, num_frames=17)
    names = {path.stem for path in tmp_path.glob("*.webp")}
    assert len(names) == 12
    assert {"first-clip", "distilled", "text-to-audio", "extend"} <= names
    assert Image.open(tmp_path / "frame.png").size == (64, 64)
