"""Clips made longer on a small checkpoint: the source stays as it is, and what is new listens to it."""

from collections.abc import Callable
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from ltx_core import Audio, ConfigError
from ltx_pipelines import CheckpointModels, ExtendConfig, ExtendPipeline, Memory, VideoInput
from ltx_pipelines.events import ignore
from ltx_pipelines.media import write_mp4
from ltx_pipelines.resize import normalize_images
from ltx_pipelines.sources import encode_clip

from tests.e2e.conftest import Ran
from tests.e2e.inspect_media import read_clip

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (20, 64, 64, 3), np.uint8)
RATE = 11025  # unlike the model's
SAMPLES = RNG.normal(0, 0.2, (2, 20 * RATE // 25)).astype(np.float32)


@pytest.fixture(scope="module")
def models(files: dict[str, Path]) -> CheckpointModels:
    return CheckpointModels(*files.values(), dtype="float32", memory=Memory.KEEP)


def config(**changes: object) -> ExtendConfig:
    source = VideoInput(FRAMES, 25.0, Audio(mx.array(SAMPLES), RATE))
    values: dict[str, object] = {
        "prompt": "a fox",
        "source": source,
        "new_frames": 8,
        "num_inference_steps": 2,
    }
    return ExtendConfig(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("distilled", [True, False])
def test_the_source_is_kept(models: CheckpointModels, before: bool, distilled: bool) -> None:
    """20 frames, of which the model sees 17, with 8 new ones."""
    pipeline = ExtendPipeline(models, distilled=distilled)
    asked = config(before=before)
    events: list[str] = []
    made = pipeline(asked, on_step=lambda event: events.append(event.stage))
    assert list(dict.fromkeys(events)) == [stage.name for stage in pipeline.plan(asked)]
    np.testing.assert_array_equal(made.frames[8:] if before else made.frames[:20], FRAMES)
    assert len(made.frames) == 28
    assert made.audio is not None
    assert made.audio.sampling_rate == RATE
    heard = np.array(made.audio.waveform)
    assert abs(heard.shape[1] - 28 * RATE / 25) <= 1
    kept = heard[:, -SAMPLES.shape[1] :] if before else heard[:, : SAMPLES.shape[1]]
    np.testing.assert_array_equal(kept, SAMPLES)
    part = FRAMES[:17] if before else FRAMES[3:]
    pixels = mx.array(normalize_images(part.transpose(3, 0, 1, 2)[None]))
    encoded = np.array(encode_clip(models, pixels, ignore))
    assert made.video_latent is not None
    latent = np.array(made.video_latent)
    assert latent.shape[2] == 4
    if before:
        np.testing.assert_array_equal(latent[:, :, 2:], encoded[:, :, 1:])
    else:
        np.testing.assert_array_equal(latent[:, :, :3], encoded)


@pytest.mark.parametrize("before", [False, True])
def test_the_new_part_depends_on_the_old(models: CheckpointModels, before: bool) -> None:
    pipeline = ExtendPipeline(models)
    backwards = VideoInput(FRAMES[::-1], 25.0, Audio(mx.array(SAMPLES), RATE))
    quiet = VideoInput(FRAMES, 25.0, Audio(mx.array(0 * SAMPLES), RATE))
    new = slice(0, 8) if before else slice(20, 28)
    clips = [pipeline(config(before=before, **c)) for c in ({}, {"source": backwards}, {"source": quiet})]
    latents = [np.array(clip.video_latent)[:, :, 0 if before else -1] for clip in clips]
    assert np.abs(latents[0] - latents[1]).max() > 1e-3
    assert np.abs(latents[0] - latents[2]).max() > 1e-5
    assert clips[0].frames[new].shape == (8, 64, 64, 3)


def test_overlap_blends(models: CheckpointModels) -> None:
    made = ExtendPipeline(models)(config(overlap_frames=8, new_frames=16)).frames
    assert len(made) == 36
    np.testing.assert_array_equal(made[:12], FRAMES[:12])
    distance = np.abs(made[12:20].astype(float) - FRAMES[12:]).mean(axis=(1, 2, 3))
    assert 0 < distance[0] < distance[-1]


def test_a_silent_source_of_one_frame_at_another_size(models: CheckpointModels) -> None:
    pipeline = ExtendPipeline(models)
    for before in (False, True):
        source = VideoInput(FRAMES[:1, :60, :62], 25.0)
        asked = config(source=source, before=before, height=96, width=64)
        made = pipeline(asked)
        assert made.frames.shape == (9, 96, 64, 3)
        assert made.audio is None
        assert not any("audio" in stage.name for stage in pipeline.plan(asked))


def test_refused(models: CheckpointModels) -> None:
    with pytest.raises(ConfigError, match="cfg_scale cannot be used on a distilled model"):
        ExtendPipeline(models).plan(config(cfg_scale=2.0))


def test_the_command(ltx: Callable[..., Ran], files: dict[str, Path], tmp_path: Path) -> None:
    source, output = tmp_path / "source.mp4", tmp_path / "clip.mp4"
    smooth = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, None, :, None], 64, axis=1)
    write_mp4(source, np.repeat(np.broadcast_to(smooth, (1, 64, 64, 3)), 20, axis=0), 25.0, SAMPLES, 16000)
    model = [str(part) for name in ("--checkpoint", "--gemma") for part in (name, files[name])]
    given = ["--video", source, "--new-frames", 16, "--num-frames", 33, *model, "-o", output]
    ran = ltx("extend", "a fox", *given, "--steps", 2, "--before")
    assert ran.status == 0, ran.err
    assert "64x64, 20 frames and 16 new ones before them at 25 per second (1.44 s), with sound" in ran.err
    clip, was = read_clip(output), read_clip(source)
    assert clip.frames.shape == (36, 64, 64, 3)
    assert clip.sampling_rate == 16000
    assert np.abs(clip.frames[16:].astype(float) - was.frames).mean() < 3
    ran = ltx("extend", "a fox", *given, "--cfg-scale", 3)
    assert ran.status == 1
    assert "add --guided" in ran.err
