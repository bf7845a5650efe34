"""Twice the frame rate, and the pocket model as it ships: one clip that is what the prompt says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import numpy as np
import pytest
from ltx_core import ConfigError
from ltx_core.blas import limit_threads
from ltx_pipelines import DistilledConfig, GenerationResult, StageEvent, double_frame_rate
from ltx_pipelines.frame_rate import doubling_plan
from ltx_pocket import model as pocket
from ltx_pocket.world.detectors import look

from tests.e2e.conftest import Ran
from tests.e2e.inspect_media import read_clip
from tests.untrained_pocket import write_untrained

SMALL = ["--height", 64, "--width", 64, "--num-frames", 9]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained(tmp_path_factory.mktemp("pocket"))


@pytest.fixture(scope="module")
def clip(weights: Path) -> GenerationResult:
    config = DistilledConfig(prompt="a ball", height=64, width=64, num_frames=9, frame_rate=16.0)
    return pocket.create_distilled_pipeline(weights)(config)


def test_a_frame_between_every_two(weights: Path, clip: GenerationResult) -> None:
    models, upscaler = pocket.open_models(weights, distilled=True), pocket.temporal_upscaler(weights)
    events: list[StageEvent] = []
    doubled = double_frame_rate(models, clip, upscaler, on_step=events.append)
    assert doubled.frames.shape == (17, 64, 64, 3)
    assert doubled.frame_rate == 32
    assert doubled.video_latent is not None
    assert doubled.video_latent.shape[2] == 3
    assert doubled.audio is not None
    assert clip.audio is not None
    samples = doubled.audio.waveform.shape[1]
    assert samples <= round(17 / 32 * doubled.audio.sampling_rate)
    assert np.array_equal(doubled.audio.waveform, clip.audio.waveform[:, :samples])
    assert doubled.settings["temporal_upsampler"] == str(upscaler)
    plan = doubling_plan(models, upscaler, 9)
    assert {event.stage: event.total for event in events} == {stage.name: stage.units for stage in plan}


def test_what_cannot_be_doubled(weights: Path, clip: GenerationResult) -> None:
    models = pocket.open_models(weights, distilled=True)
    with pytest.raises(ConfigError, match="does not upscale time alone"):
        double_frame_rate(models, clip, weights / "spatial_upscaler.safetensors")
    for other in (replace(clip, video_latent=None), replace(clip, video=clip.frames[:5])):
        with pytest.raises(ConfigError, match="cannot be doubled"):
            double_frame_rate(models, other, pocket.temporal_upscaler(weights))


def test_the_command(ltx: Callable[..., Ran], weights: Path, files: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    setup = f"from ltx_pocket import model; model.WEIGHTS = {str(weights)!r}"
    ran = ltx("generate", "a ball", *SMALL, "--double-frame-rate", "-o", output, setup=setup)
    assert ran.status == 0, ran.err
    made = read_clip(output)
    assert made.frames.shape == (17, 64, 64, 3)
    assert made.frame_rate == 32
    given = [word for pair in files.items() for word in pair]
    ran = ltx("generate", "a ball", *SMALL, *given, "--double-frame-rate", "-o", tmp_path / "none.mp4")
    assert ran.status == 1
    assert "give --temporal-upscaler" in ran.err


def test_the_model_that_ships_makes_what_the_prompt_says() -> None:
    limit_threads(1)
    config = DistilledConfig(prompt="a red ball bouncing over the sea", **pocket.NATIVE_CLIP)
    result = pocket.create_distilled_pipeline()(config)
    seen = look(result.frames / np.float32(255), result.frame_rate)
    assert seen.background == "sea"
    assert seen.things[0].colour == "red"
    assert seen.things[0].motion == "bounce"
