"""Clips and sounds that pipelines start from."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core import Audio, ConfigError
from ltx_pipelines import MediaError, VideoInput, read_audio
from ltx_pipelines.media import write_mp4, write_wav
from ltx_pipelines.media_input import read_frames

RATE = 8000


def ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def greys(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Frames that can be told apart by their brightness: 10, 20, ..."""
    levels = 10 * np.arange(1, count + 1, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def levels(video: VideoInput, frame_rate: float | None = None, limit: int | None = None) -> list[int]:
    return [round(float(frame.mean()) / 10) for frame in video.frames(frame_rate, limit)]


def tone(seconds: float, channels: int = 2) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)
    return np.stack([wave * (index + 1) / channels for index in range(channels)]).astype(np.float32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames at 30000/1001 per second, with sound."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    write_mp4(path, greys(20), 29.97, tone(20 / 29.97), RATE)
    return path


def test_a_file(clip: Path) -> None:
    video = VideoInput(clip)
    shape = video.shape()
    assert (shape.frames, shape.height, shape.width) == (20, 32, 48)
    assert shape.fps == 30000 / 1001
    frames = list(video.frames())
    assert {(frame.shape, frame.dtype) for frame in frames} == {((32, 48, 3), np.dtype(np.uint8))}
    assert levels(video) == list(range(1, 21))
    assert levels(video, limit=3) == [1, 2, 3]
    assert read_frames(clip, 3).shape == (3, 32, 48, 3)
    assert read_frames(clip).shape[0] == 20
    sound = video.sound()
    assert sound is not None
    assert sound.sampling_rate == RATE
    assert sound.waveform.dtype == mx.float32
    assert abs(sound.waveform.shape[1] - 20 / 29.97 * RATE) < 1024
    cut = video.sound(0.25)
    assert cut is not None
    assert cut.waveform.shape == (2, 2000)


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".avi", ".webm"])
def test_other_formats(clip: Path, tmp_path: Path, suffix: str) -> None:
    ffmpeg("-i", clip, "-c:a", "libopus" if suffix == ".webm" else "pcm_s16le", tmp_path / f"x{suffix}")
    video = VideoInput(tmp_path / f"x{suffix}")
    assert video.shape()[:4] == (1, 20, 32, 48)
    assert abs(video.shape().fps - 29.97) < 1e-3
    assert np.abs(np.array(levels(video)) - np.arange(1, 21)).max() <= 1
    assert video.sound() is not None


def test_ranges_of_files_and_arrays_agree(clip: Path) -> None:
    for start, duration in ((0.0, None), (0.2, None), (0.1, 0.3), (0.5, 5.0)):
        file = VideoInput(clip, start=start, duration=duration)
        array = VideoInput(greys(20), 30000 / 1001, start=start, duration=duration)
        assert levels(file) == levels(array)
        assert file.shape().frames == array.shape().frames == len(levels(file))
    with pytest.raises(MediaError, match="no frame from 5 s on"):
        VideoInput(clip, start=5).check()
    with pytest.raises(MediaError, match="no frame from 5 s on"):
        VideoInput(greys(20), 30.0, start=5).check()


def test_frame_rate_conversion_keeps_the_time(clip: Path) -> None:
    for rate in (15.0, 24.0, 29.97, 60.0):
        file, array = VideoInput(clip), VideoInput(greys(20), 30000 / 1001)
        assert file.shape(rate).frames == len(levels(file, rate)) == array.shape(rate).frames
        moments = np.arange(file.shape(rate).frames) / file.shape(rate).fps
        for found in (levels(file, rate), levels(array, rate)):
            assert np.abs((np.array(found) - 1) / 29.97 - moments).max() <= 1 / 29.97 + 1e-6


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 120), st.integers(1, 120))
def test_converted_arrays_are_in_order(count: int, own: int, wanted: int) -> None:
    video = VideoInput(greys(count), float(own))
    frames = levels(video, wanted) if round(count * wanted / own) else []
    assert frames == sorted(frames)
    assert len(frames) == round(count * wanted / own)
    assert set(frames) <= set(range(1, count + 1))
    if wanted == own:
        assert frames == list(range(1, count + 1))


def test_pixels_are_fitted_as_images_are(clip: Path) -> None:
    pixels = VideoInput(greys(9), 24.0).pixels(16, 16, 9)
    assert pixels.shape == (1, 3, 9, 16, 16)
    np.testing.assert_allclose(np.array(pixels[0, 0, :, 3, 4]), 10 * np.arange(1, 10) / 127.5 - 1, atol=1e-6)
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)
    same = np.array(VideoInput(frames, 24.0).pixels(16, 24, 2))
    np.testing.assert_array_equal(same[0].transpose(1, 2, 3, 0), (frames / np.float32(127.5)) - np.float32(1))
    with pytest.raises(MediaError, match="20 frames; 25 are needed"):
        VideoInput(clip).pixels(32, 32, 25)


def test_upright(clip: Path, tmp_path: Path) -> None:
    ffmpeg("-display_rotation", 90, "-i", clip, "-c", "copy", tmp_path / "turned.mp4")
    assert VideoInput(tmp_path / "turned.mp4").shape()[2:4] == (48, 32)


def test_channels(tmp_path: Path) -> None:
    for channels in (1, 2):
        write_wav(tmp_path / "x.wav", tone(0.5, channels), RATE)
        sound = read_audio(tmp_path / "x.wav")
        assert sound.sampling_rate == RATE
        np.testing.assert_allclose(sound.waveform, tone(0.5, channels)[[0, -1]], atol=1e-4)
    write_wav(tmp_path / "x.wav", tone(0.5, 6), RATE)
    mixed = np.array(read_audio(tmp_path / "x.wav").waveform)
    assert mixed.shape == (2, 4000)
    assert 0.01 < np.abs(mixed).max() <= 1


def test_ranges_of_sound(tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", tone(0.5), RATE)
    for source in (tmp_path / "x.wav", Audio(mx.array(tone(0.5)), RATE)):
        for start, duration in ((0.0, 0.2), (0.123, None), (0.1, 9.0), (0.4999, None)):
            part = read_audio(source, start, duration).waveform
            end = None if duration is None else round(start * RATE) + round(duration * RATE)
            np.testing.assert_allclose(part, tone(0.5)[:, round(start * RATE) : end], atol=1e-4)
        with pytest.raises(MediaError, match=r"no samples from 0\.5 s on"):
            read_audio(source, 0.5)


def test_mono_arrays_and_silent_clips() -> None:
    mono = Audio(mx.array(tone(0.1, 1)), RATE)
    sound = VideoInput(greys(3), 30.0, mono).sound()
    assert sound is not None
    np.testing.assert_array_equal(sound.waveform, np.repeat(tone(0.1, 1), 2, axis=0))
    assert VideoInput(greys(3), 30.0).sound() is None
    with pytest.raises(ConfigError, match=r"\(6, 800\)"):
        read_audio(Audio(mx.array(tone(0.1, 6)), RATE))


def test_files_that_will_not_do(clip: Path, tmp_path: Path) -> None:
    write_mp4(tmp_path / "silent.mp4", greys(2), 24.0)
    assert VideoInput(tmp_path / "silent.mp4").sound() is None
    write_wav(tmp_path / "sound.wav", tone(0.1), RATE)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:900])
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile 'https://localhost/x.mp4'\n")
    for name, message in (
        ("none.mp4", "does not exist; check the path"),
        ("empty.mp4", "is empty"),
        ("text.mp4", "cannot be read as video or sound"),
        ("cut.mp4", "cannot be read as video or sound"),
        ("list.ffconcat", "cannot be read as video or sound"),
        ("sound.wav", "sound but no picture"),
        (".", "is a folder"),
    ):
        with pytest.raises(MediaError, match=message) as caught:
            VideoInput(tmp_path / name).check()
        assert "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="has no sound"):
        read_audio(tmp_path / "silent.mp4")


def test_arguments() -> None:
    for arguments, message in (
        ({"video": "x.mp4", "frame_rate": 24.0}, "brings its own"),
        ({"video": greys(2)}, "need a frame_rate"),
        ({"video": greys(2)[0], "frame_rate": 24.0}, r"uint8 \(F, H, W, 3\)"),
        ({"video": greys(2) / 255, "frame_rate": 24.0}, r"uint8 \(F, H, W, 3\)"),
        ({"video": "x.mp4", "start": -1.0}, "start -1"),
        ({"video": "x.mp4", "duration": 0.0}, "duration 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            VideoInput(**arguments)


def test_an_early_end_leaves_no_process(clip: Path) -> None:
    frames = VideoInput(clip).frames()
    assert next(frames).shape == (32, 48, 3)
    frames.close()  # type: ignore[attr-defined]
