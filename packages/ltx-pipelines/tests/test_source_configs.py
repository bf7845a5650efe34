"""Configs of the pipelines that start from a clip or a sound, and of the one that makes sound alone."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core import Audio, ConfigError, MultiModalGuiderParams
from ltx_pipelines import (
    AudioToVideoConfig,
    GenerationResult,
    GuidanceChange,
    ImageCondition,
    MediaError,
    RetakeConfig,
    TextToAudioConfig,
    VideoInput,
)
from ltx_pipelines.defaults import LTX_2_3
from ltx_pipelines.media import write_mp4, write_wav

RATE = 8000


def clip(frames: int = 20, height: int = 64, width: int = 96, rate: float = 24.0) -> VideoInput:
    sound = Audio(mx.zeros((2, round(frames / rate * RATE))), RATE)
    return VideoInput(np.zeros((frames, height, width, 3), np.uint8), rate, sound)


def retake(**changes: Any) -> RetakeConfig:
    return RetakeConfig(**{"prompt": "x", "source": clip(), "start_time": 0.1, "end_time": 0.3, **changes})


def test_retake_takes_after_its_source(tmp_path: Path) -> None:
    config = retake()
    assert (config.height, config.width, config.num_frames, config.frame_rate) == (64, 96, 17, 24.0)
    write_mp4(tmp_path / "x.mp4", np.zeros((9, 64, 64, 3), np.uint8), 30000 / 1001)
    for source in (tmp_path / "x.mp4", str(tmp_path / "x.mp4"), VideoInput(tmp_path / "x.mp4")):
        config = retake(source=source, end_time=9.0)
        assert (config.height, config.width, config.num_frames) == (64, 64, 9)
        assert config.frame_rate == 30000 / 1001
        assert config.settings()["source"]["video"] == str(tmp_path / "x.mp4")
    config = retake(height=128, width=64, num_frames=9, frame_rate=12.0)
    assert (config.height, config.width, config.num_frames, config.frame_rate) == (128, 64, 9, 12.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60))
def test_retake_leaves_out_less_than_a_latent_frame(frames: int) -> None:
    config = retake(source=clip(frames), start_time=0.0)
    assert config.num_frames % 8 == 1
    assert frames - 8 < config.num_frames <= frames


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"start_time": 0.3, "end_time": 0.3}, ConfigError, "0.3 to 0.3 s is empty or outside"),
        ({"start_time": 5.0, "end_time": 6.0}, ConfigError, r"which lasts 0\.708 s"),
        ({"start_time": -1.0}, ConfigError, "-1 to 0.3 s"),
        ({"start_time": float("nan")}, ConfigError, "nan to 0.3 s"),
        ({"num_frames": 25}, MediaError, "20 frames, fewer than num_frames 25"),
        ({"source": clip(height=60)}, ConfigError, "height 60 is not a multiple of 32"),
        ({"regenerate_video": False, "regenerate_audio": False}, ConfigError, "nothing is to be made anew"),
        ({"regenerate_video": False, "generate_audio": False}, ConfigError, "nothing is to be made anew"),
        ({"images": (ImageCondition(np.zeros((8, 8, 3), np.uint8)),)}, ConfigError, "images cannot be used"),
        ({"source": "none.mp4"}, MediaError, "does not exist"),
    ],
)
def test_retake_errors(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        retake(**changes)


def to_video(**changes: Any) -> AudioToVideoConfig:
    sound = Audio(mx.ones((2, RATE)), RATE)
    size = {"height": 64, "width": 64, "num_frames": 9, "frame_rate": 24.0}
    return AudioToVideoConfig(**{"prompt": "x", "audio": sound, **size, **changes})


def test_sound_is_cut_to_the_clip(tmp_path: Path) -> None:
    assert to_video().sound.waveform.shape == (2, 3000)
    assert to_video(audio_start=0.9).sound.waveform.shape == (2, 800)
    assert to_video(audio_duration=0.6).sound.waveform.shape == (2, 4800)
    write_wav(tmp_path / "x.wav", np.ones((1, RATE)), RATE)
    config = to_video(audio=tmp_path / "x.wav")
    assert config.sound.waveform.shape == (2, 3000)
    assert config.settings()["audio"] == str(tmp_path / "x.wav")


def test_only_the_video_is_guided() -> None:
    video, audio = to_video(cfg_scale=2.0, stg_scale=0.5).guidance(LTX_2_3)
    assert isinstance(video, MultiModalGuiderParams)
    assert (video.cfg_scale, video.stg_scale) == (2.0, 0.5)
    assert audio == MultiModalGuiderParams()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"audio": "none.wav"}, MediaError, "does not exist"),
        ({"audio_start": 2.0}, MediaError, "no samples from 2 s on"),
        ({"audio_start": -2.0}, ConfigError, "audio start -2"),
        ({"audio_duration": 0.0}, ConfigError, "audio duration 0"),
        ({"audio_cfg_scale": 2.0}, ConfigError, "audio_cfg_scale cannot be used"),
        ({"audio_guidance": GuidanceChange(stg_scale=1.0)}, ConfigError, "audio_guidance cannot be used"),
        ({"generate_audio": False}, ConfigError, "generate_audio False"),
        ({"height": 96}, ConfigError, "height 96 is not a multiple of 64"),
    ],
)
def test_audio_to_video_errors(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        to_video(**changes)


def test_sound_alone() -> None:
    config = TextToAudioConfig(prompt="x", num_frames=25, frame_rate=50.0)
    assert config.seconds == 0.5
    assert config.shape.frames / config.shape.fps == 0.5
    config = TextToAudioConfig(prompt="x", duration=3.3)
    assert config.seconds == 3.3
    assert config.shape.frames / config.shape.fps == pytest.approx(3.3)
    assert config.summary() == "3.30 s of sound, seed 10"
    assert "height" not in config.settings()
    video, audio = TextToAudioConfig(prompt="x", audio_cfg_scale=4.0).guidance(LTX_2_3)
    assert video == MultiModalGuiderParams()
    assert isinstance(audio, MultiModalGuiderParams)
    assert (audio.cfg_scale, audio.modality_scale, audio.stg_scale) == (4.0, 1.0, 1.0)
    for changes, message in (
        ({"cfg_scale": 2.0}, "cfg_scale cannot be used here: there is no picture"),
        ({"height": 512, "width": 768}, "height, width cannot be used"),
        ({"duration": 0.0}, "duration 0"),
        ({"duration": float("inf")}, "duration inf"),
    ):
        with pytest.raises(ConfigError, match=message):
            TextToAudioConfig(prompt="x", **changes)


def test_a_sound_is_saved_as_wav(tmp_path: Path) -> None:
    sound = Audio(mx.zeros((2, 100)), RATE)
    result = GenerationResult(np.empty((0, 0, 0, 3), np.uint8), sound, None, None, 24.0, {})
    assert result.save(tmp_path / "x.wav") == tmp_path / "x.wav"
    assert (tmp_path / "x.wav").stat().st_size == 44 + 400
    with pytest.raises(MediaError, match=r"must end in \.wav"):
        result.save(tmp_path / "x.mp4")
