"""The map from latents to colours is the best linear one, whatever the autoencoder."""

from itertools import islice
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_pipelines.preview import LatentToRGB, least_squares, picture_strip, pictures
from PIL import Image


@settings(max_examples=20, deadline=None)
@given(channels=st.integers(3, 12), seed=st.integers(0, 99))
def test_latents_that_are_colours_are_read_as_such(channels: int, seed: int) -> None:
    """Exact for an encoder that is linear, without a word of what it is."""
    random = np.random.default_rng(seed)
    mixing, shift = np.linalg.qr(random.normal(size=(channels, 3)))[0].T, random.normal(size=channels)
    colours = [random.uniform(-1, 1, (20, 3)) for _ in range(8)]
    found = least_squares([each @ mixing + shift for each in colours], colours)
    assert found.matrix.shape == (channels + 1, 3)
    assert found.quality > 0.99
    latent = (colours[0] @ mixing + shift).T.reshape(1, channels, 1, 4, 5)
    pictured = found(mx.array(latent.astype(np.float32))).reshape(20, 3) / 127.5 - 1
    assert np.abs(pictured - colours[0]).max() < 0.05


def test_latents_that_say_nothing_of_colours_are_admitted_to() -> None:
    random = np.random.default_rng(0)
    latents = [random.normal(size=(30, 8)) for _ in range(12)]
    colours = [random.uniform(-1, 1, (30, 3)) for _ in range(12)]
    assert least_squares(latents, colours).quality < 0.1


def test_pictures_of_a_latent() -> None:
    plain = LatentToRGB(np.array([[1, 0, 0], [0, 2, 0], [-1, 0, 0]], np.float32), 1.0)
    latent = mx.array(np.array([[1.0, 0.0], [0.5, -0.25]], np.float32).reshape(1, 2, 2, 1, 1))
    # Channel 0 is red but for the constant, channel 1 green at twice its value; beyond the range is clipped.
    assert plain(latent)[:, 0, 0].tolist() == [[128, 255, 128], [0, 64, 128]]


def test_pictures_to_fit_to_are_always_the_same() -> None:
    first, second = (list(islice(pictures(3, 8, 16), 4)) for _ in range(2))
    assert all((one == other).all() for one, other in zip(first, second, strict=True))
    for picture in first:
        assert picture.shape == (3, 8, 16, 3)
        assert picture.dtype == np.float32
        assert np.abs(picture).max() <= 1
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize(("frames", "shown"), [(1, 1), (4, 4), (33, 6)])
def test_a_strip_of_frames(tmp_path: Path, frames: int, shown: int) -> None:
    brightness = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    picture_strip(np.broadcast_to(brightness, (frames, 4, 6, 3)), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as strip:
        assert strip.size == (shown * 240 + (shown - 1) * 4, 160)
        seen = [strip.getpixel((index * 244 + 100, 80)) for index in range(shown)]
    wanted = np.linspace(0, frames - 1, shown).round().astype(int)
    assert seen == [(value, value, value) for value in wanted]
