"""Pipelines that start from a clip or a sound, and the one that makes sound alone, on a small checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from ltx_core import Audio, ConfigError, RandomNoise, VideoPixelShape
from ltx_pipelines import (
    AudioToVideoConfig,
    AudioToVideoPipeline,
    CheckpointModels,
    LoraPathStrength,
    Memory,
    RetakeConfig,
    RetakePipeline,
    StageEvent,
    TextToAudioConfig,
    TextToAudioPipeline,
    VideoInput,
)
from ltx_pipelines.events import ignore
from ltx_pipelines.media import write_mp4, write_wav
from ltx_pipelines.sources import encode_clip, encode_sound
from ltx_pipelines.stages import pixel_shape

from tests.e2e.conftest import FIXTURES, Ran
from tests.e2e.inspect_media import read_clip
from tests.untrained_pocket import write_untrained

DISTILLED_LORA = FIXTURES / "distilled_lora.safetensors"
RATE = 16000


@pytest.fixture(scope="module")
def models(files: dict[str, Path]) -> CheckpointModels:
    return CheckpointModels(*files.values(), dtype="float32", memory=Memory.KEEP)


def noise(seconds: float, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).normal(0, 0.2, (2, round(seconds * RATE)))
    return Audio(mx.array(samples.astype(np.float32)), RATE)


def source(frames: int = 25, sound: bool = True) -> VideoInput:
    pixels = np.random.default_rng(0).integers(0, 256, (frames, 64, 64, 3), np.uint8)
    return VideoInput(pixels, 25.0, noise(frames / 25) if sound else None)


def test_the_sound_comes_back_and_is_followed(models: CheckpointModels) -> None:
    pipeline = AudioToVideoPipeline(models, LoraPathStrength(DISTILLED_LORA))
    size: dict[str, Any] = {"height": 64, "width": 64, "num_frames": 9, "num_inference_steps": 2}
    results = []
    for sound in (noise(1.0), noise(1.0, seed=1), noise(0.1)):
        config = AudioToVideoConfig(prompt="a drum", audio=sound, **size)
        events: list[StageEvent] = []
        results.append(pipeline(config, on_step=events.append))
        assert len(results[-1].frames) == 9
        stages = {event.stage: event.total for event in events}
        assert stages == {stage.name: stage.units for stage in pipeline.plan(config)}
        made = results[-1].audio
        assert made is not None
        assert made.sampling_rate == RATE
        np.testing.assert_array_equal(made.waveform, sound.waveform[:, : round(9 / 24 * RATE)])
    first, second, _ = results
    assert first.video_latent is not None
    assert second.video_latent is not None
    assert float(mx.abs(first.video_latent - second.video_latent).max()) > 1e-3
    assert first.settings["audio"] == "array (2, 16000)"


def test_a_short_sound_goes_on_in_silence_or_in_zeros(models: CheckpointModels) -> None:
    clip = VideoPixelShape(1, 25, 64, 64, 25.0)
    long = Audio(mx.pad(noise(0.5).waveform, [(0, 0), (0, RATE // 2)]), RATE)
    whole = encode_sound(models, long, clip, ignore)
    for silence in (True, False):
        latent = encode_sound(models, noise(0.5), clip, ignore, silence=silence)
        assert latent.shape == whole.shape
        np.testing.assert_allclose(latent[:, :, :11], whole[:, :, :11], atol=1e-5)
        end = np.array(latent)[:, :, 14:24]
        np.testing.assert_allclose(end, np.array(whole)[:, :, 14:24] if silence else 0 * end, atol=1e-5)
    tiny = encode_sound(models, Audio(mx.ones((2, 3)), RATE), clip, ignore)
    assert tiny.shape == whole.shape


@pytest.mark.parametrize("distilled", [True, False])
@pytest.mark.parametrize("kept", [None, "video", "audio"])
@pytest.mark.parametrize("splice", [True, False])
def test_outside_the_range_nothing_changes(
    models: CheckpointModels, distilled: bool, kept: str | None, splice: bool
) -> None:
    """Latent frames of 25 frames: 0, 1 to 8, 9 to 16, 17 to 24; the range touches the third."""
    pipeline = RetakePipeline(models, distilled=distilled)
    config = RetakeConfig(
        prompt="a fox",
        source=source(),
        start_time=0.4,
        end_time=0.5,
        num_inference_steps=2,
        regenerate_video=kept != "video",
        regenerate_audio=kept != "audio",
        splice=splice,
    )
    events: list[StageEvent] = []
    result = pipeline(config, on_step=events.append)
    assert result.frames.shape == (25, 64, 64, 3)
    assert {e.stage: e.total for e in events} == {stage.name: stage.units for stage in pipeline.plan(config)}
    assert result.video_latent is not None
    assert result.audio_latent is not None
    picture = encode_clip(models, config.clip.pixels(64, 64, 25), ignore)
    heard = encode_sound(models, noise(1.0), pixel_shape(config), ignore)
    changed = [float(mx.abs(result.video_latent - picture)[:, :, f].max()) > 0 for f in range(4)]
    assert changed == [False, False, kept != "video", False]
    changed = [float(mx.abs(result.audio_latent - heard)[:, :, t].max()) > 0 for t in range(25)]
    # A latent frame of sound lasts 40 ms, but the first, which lasts 10.
    inside = [index for index, change in enumerate(changed) if change]
    assert inside == ([] if kept == "audio" else [10, 11, 12, 13])
    same = [
        bool((made == given).all()) for made, given in zip(result.frames, config.clip.frames(), strict=True)
    ]
    assert [not kept_frame for kept_frame in same] == [
        not splice or (kept != "video" and 9 <= index <= 16) for index in range(25)
    ]
    assert result.audio is not None
    sound = config.clip.sound(config.seconds)
    assert sound is not None
    rate = result.audio.sampling_rate
    if not splice:
        return
    assert rate == sound.sampling_rate
    length = min(result.audio.waveform.shape[1], sound.waveform.shape[1])
    change = np.abs(np.array(result.audio.waveform[:, :length] - sound.waveform[:, :length])).max(axis=0)
    new = np.nonzero(change)[0] / rate
    # Its latent frames 10 to 13 last from 0.37 to 0.53 s.
    assert not new.size if kept == "audio" else (0.37 <= new[0] < 0.39 and 0.51 < new[-1] < 0.53)


def test_a_silent_clip_gets_a_sound_or_stays_silent(models: CheckpointModels) -> None:
    pipeline = RetakePipeline(models)
    options: dict[str, Any] = {"prompt": "a fox", "start_time": 0.0, "end_time": 1.0}
    options |= {"source": source(9, sound=False), "num_inference_steps": 2}
    made = pipeline(RetakeConfig(**options))
    assert made.audio is not None
    silent = pipeline(RetakeConfig(**options, generate_audio=False))
    assert silent.audio is None
    assert silent.audio_latent is None


def test_a_distilled_retake_has_no_guidance(models: CheckpointModels) -> None:
    pipeline = RetakePipeline(models)
    options: dict[str, Any] = {"prompt": "a fox", "source": source(9), "start_time": 0.0, "end_time": 0.1}
    for asked, message in (
        ({"cfg_scale": 2.0, "negative_prompt": "blurry"}, "cfg_scale, negative_prompt cannot be used"),
        ({"num_inference_steps": 9}, "num_inference_steps 9 is not between 1 and 8"),
    ):
        config = RetakeConfig(**options, **asked)
        with pytest.raises(ConfigError, match=message):
            pipeline.plan(config)
        with pytest.raises(ConfigError, match=message):
            pipeline(config)
    # The decoder of this generation has nothing to mirror in a single latent.
    small = RetakeConfig(**{**options, "width": 32})
    with pytest.raises(ConfigError, match="width 32 is not a multiple of 32 of at least 64"):
        pipeline(small)


def test_sound_alone(models: CheckpointModels) -> None:
    pipeline = TextToAudioPipeline(models)
    config = TextToAudioConfig(prompt="rain", duration=0.5, num_inference_steps=2)
    draws: list[tuple[int, ...]] = []
    random = RandomNoise(10)

    def draw(like: mx.array) -> mx.array:
        draws.append(like.shape)
        return random(like)

    result = pipeline(config, noise=draw)
    assert len(draws) == 1
    assert len(result.frames) == 0
    assert result.video_latent is None
    assert result.audio is not None
    assert abs(result.audio.waveform.shape[1] / result.audio.sampling_rate - 0.5) < 0.08
    again = pipeline(config)
    assert again.audio is not None
    np.testing.assert_array_equal(result.audio.waveform, again.audio.waveform)


@pytest.fixture
def pocket_ltx(ltx: Callable[..., Ran], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ran]:
    """The command with the pocket model, of random weights."""
    weights = write_untrained(tmp_path_factory.mktemp("pocket"))
    setup = f"from ltx_pocket import model; model.WEIGHTS = {str(weights)!r}"
    return lambda *arguments: ltx(*arguments, setup=setup)


def test_the_commands(pocket_ltx: Callable[..., Ran], tmp_path: Path) -> None:
    clip, sound, output = tmp_path / "in.mp4", tmp_path / "in.wav", tmp_path / "out.mp4"
    assert isinstance(source().video, np.ndarray)
    samples = np.array(noise(1.0).waveform)
    write_mp4(clip, source().video, 25.0, samples, RATE)  # type: ignore[arg-type]
    write_wav(sound, samples, RATE)

    ran = pocket_ltx(
        "retake", "a ball", "--video", clip, "--start-time", 0.4, "--end-time", 0.5, "-o", output
    )
    assert ran.status == 0, ran.err
    assert "64x64, 25 frames at 25 per second (1.00 s), with sound" in ran.err
    made = read_clip(output)
    assert made.frames.shape == (25, 64, 64, 3)
    assert made.frame_rate == 25
    assert made.sound is not None

    size = ["--height", 64, "--width", 64, "--num-frames", 9, "--steps", 2]
    ran = pocket_ltx("audio-to-video", "a ball", "--audio", sound, *size, "-o", output)
    assert ran.status == 0, ran.err
    made = read_clip(output)
    assert made.frames.shape == (9, 64, 64, 3)
    assert made.sampling_rate == RATE
    assert made.sound is not None
    wanted = samples[:, : made.sound.shape[1]]
    error = np.abs(made.sound[:, : wanted.shape[1]] - wanted)
    assert np.sqrt((error**2).mean()) < 0.5 * wanted.std()

    ran = pocket_ltx("audio", "a beat", "--duration", 0.5, "--steps", 2, "-o", tmp_path / "out.wav")
    assert ran.status == 0, ran.err
    assert "0.50 s of sound, seed 10, pocket" in ran.err
    assert (tmp_path / "out.wav").stat().st_size > 10000


def test_mistakes_are_a_line(pocket_ltx: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    retake = ["retake", "x", "--start-time", 0, "--end-time", 1, "-o", tmp_path / "x.mp4", "--video"]
    sound = ["audio-to-video", "x", "-o", tmp_path / "x.mp4", "--audio", "none.wav"]
    for arguments, message in (
        ([*retake, tmp_path / "text.mp4"], "cannot be read as video or sound"),
        ([*retake, "x.mp4", "--cfg-scale", 2], "--cfg-scale cannot be used with the distilled schedule"),
        (sound, "none.wav does not exist"),
        ([*sound, "--audio-cfg-scale", 2], "--audio-cfg-scale cannot be used with audio-to-video"),
        (["audio", "x", "--cfg-scale", 2, "-o", tmp_path / "x.wav"], "there is no picture"),
        (["audio", "x", "-o", tmp_path / "x.mp4"], "must end in .wav"),
    ):
        ran = pocket_ltx(*arguments)
        assert ran.status == 1
        assert len(ran.err.strip().splitlines()) == 1
        assert message in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]
