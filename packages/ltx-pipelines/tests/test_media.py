"""Reading images and writing clips."""

import json
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core import Audio
from ltx_pipelines import GenerationResult, MediaError, check_output
from ltx_pipelines.images import image_tensor, read_image, recompress
from ltx_pipelines.media import exact_rate, pcm16, write_mp4, write_wav
from PIL import Image


def gradient(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 128 + 0 * x], axis=-1).astype(np.uint8)


def read_frames(path: Path) -> tuple[dict[str, object], np.ndarray]:
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    return meta, np.stack([np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader])


@pytest.mark.parametrize(
    ("rate", "fraction"),
    [
        (24.0, Fraction(24)),
        (23.976, Fraction(24000, 1001)),
        (24000 / 1001, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        (40.0, Fraction(40)),
    ],
)
def test_frame_rates(rate: float, fraction: Fraction) -> None:
    assert exact_rate(rate) == fraction


@given(st.floats(1, 240))
def test_every_frame_rate_is_met(rate: float) -> None:
    assert abs(float(exact_rate(rate)) - rate) < 0.005


@settings(max_examples=30)
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=20))
def test_samples_are_clipped_not_wrapped(samples: list[float]) -> None:
    wave = np.array([samples, samples])
    out = pcm16(wave)
    assert out.shape == (len(samples), 2)
    assert np.abs(out / 32767 - np.clip(wave.T, -1, 1)).max() <= 1 / 32767


def test_the_picture_survives_the_file(tmp_path: Path) -> None:
    """Colours come back: the matrix and the range that are written are the ones that are tagged."""
    frames = np.stack([np.roll(gradient(64, 96), 3 * n, axis=1) for n in range(5)])
    write_mp4(tmp_path / "x.mp4", frames, 30.0)
    meta, back = read_frames(tmp_path / "x.mp4")
    assert meta["fps"] == 30
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).mean() < 4


@pytest.mark.parametrize(("seconds", "frames"), [(0.33, 9), (2.6, 65), (0.9, 9)])
def test_sound_is_never_cut_and_ends_with_the_picture(tmp_path: Path, seconds: float, frames: int) -> None:
    rate = 24000
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    write_mp4(tmp_path / "x.mp4", np.zeros((frames, 64, 64, 3), np.uint8), 24.0, np.stack([tone, tone]), rate)
    _, back = read_frames(tmp_path / "x.mp4")
    assert len(back) == frames
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    import subprocess

    command = [exe, "-v", "error", "-i", str(tmp_path / "x.mp4"), "-vn", "-f", "f32le", "-"]
    sound = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)
    decoded = len(sound) / 2 / rate
    assert decoded >= seconds - 0.001
    assert abs(decoded - max(seconds, frames / 24)) <= 1 / 24
    loud = np.flatnonzero(np.abs(sound[::2]) > 0.1)
    assert abs(loud[-1] / rate - seconds) < 0.01


def test_failures_leave_nothing(tmp_path: Path) -> None:
    output = tmp_path / "x.mp4"
    with pytest.raises(MediaError, match="at least one frame"):
        write_mp4(output, [], 24.0)
    with pytest.raises(MediaError, match="ffmpeg failed"):
        write_mp4(output, np.zeros((2, 63, 64, 3), np.uint8)[:, :63, :63], 24.0)

    def broken() -> object:
        yield np.zeros((64, 64, 3), np.uint8)
        raise RuntimeError("decoder died")

    with pytest.raises(RuntimeError, match="decoder died"):
        write_mp4(output, broken(), 24.0)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_survives_a_failure(tmp_path: Path) -> None:
    output = tmp_path / "x.mp4"
    output.write_bytes(b"precious")
    with pytest.raises(MediaError):
        write_mp4(output, [], 24.0)
    assert output.read_bytes() == b"precious"


def test_output_paths(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    for path, message in (
        (tmp_path / "x.avi", r"must end in \.mp4"),
        (tmp_path / "folder.mp4", "is a folder"),
        (tmp_path / "no" / "x.mp4", "does not exist"),
    ):
        with pytest.raises(MediaError, match=message):
            check_output(path)
    assert check_output(str(tmp_path / "X.MP4")) == tmp_path / "X.MP4"


def test_result_saves_its_settings(tmp_path: Path) -> None:
    frames, sound = np.zeros((9, 64, 64, 3), np.uint8), Audio(mx.zeros((2, 9000)), 24000)
    latent = mx.zeros((1, 4, 2, 2, 2))
    result = GenerationResult(frames, sound, latent, None, 24.0, {"prompt": 'a "fox"', "seed": 3})
    assert result.save(tmp_path / "x.mp4") == tmp_path / "x.mp4"
    import subprocess

    exe = imageio_ffmpeg.get_ffmpeg_exe()
    command = [exe, "-v", "error", "-i", str(tmp_path / "x.mp4"), "-f", "ffmetadata", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    comment = next(line for line in text.splitlines() if line.startswith("comment=")).removeprefix("comment=")
    assert json.loads(comment.replace("\\=", "=").replace("\\\\", "\\")) == {"prompt": 'a "fox"', "seed": 3}


def test_wav(tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", np.ones((2, 50)), 8000)
    assert len((tmp_path / "x.wav").read_bytes()) == 44 + 200
    with pytest.raises(MediaError):
        write_wav(tmp_path / "x.mp3", np.ones((2, 50)), 8000)


def test_images_are_turned_upright_and_lose_their_alpha(tmp_path: Path) -> None:
    pixels = gradient(20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(pixels, -1))
    rgba = np.concatenate([pixels, np.zeros((20, 30, 1), np.uint8)], axis=-1)
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(read_image(tmp_path / "clear.png"), pixels)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(pixels[..., :1], 3, axis=2))


def test_unreadable_images(tmp_path: Path) -> None:
    Image.fromarray(gradient(40, 40)).save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("hello")
    for name in ("cut.png", "text.png"):
        with pytest.raises(MediaError, match="not a readable image"):
            read_image(tmp_path / name)
    with pytest.raises(MediaError, match="does not exist"):
        read_image(tmp_path / "none.png")


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40))
def test_recompression_keeps_the_size_but_for_odd_sides(height: int, width: int) -> None:
    out = recompress(gradient(height, width), 33)
    assert out.shape == (height // 2 * 2, width // 2 * 2, 3)


def test_recompression_loses_more_at_higher_crf() -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    errors = [np.abs(recompress(noisy, crf).astype(int) - noisy).mean() for crf in (5, 20, 33, 45)]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1]
    assert recompress(noisy[:1], 33).shape == (1, 64, 3)


def test_image_tensor() -> None:
    tensor = image_tensor(gradient(50, 70), 64, 96)
    assert tensor.shape == (1, 3, 1, 64, 96)
    assert -1 <= float(tensor.min()) < float(tensor.max()) <= 1
