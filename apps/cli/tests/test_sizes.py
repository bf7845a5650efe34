"""Sizes are rounded to what the model can make, or refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ltx_cli.sizes import fitted, fitted_to_source, rounded
from ltx_core import ConfigError
from ltx_pipelines import ClipConfig, DistilledConfig, RetakeConfig, VideoInput

SIDES = st.integers(1, 3000)


@given(height=SIDES, width=SIDES, num_frames=st.integers(1, 1000))
def test_the_nearest_that_can_be_made(height: int, width: int, num_frames: int) -> None:
    asked = {"height": height, "width": width, "num_frames": num_frames}
    for config in (ClipConfig, DistilledConfig):
        made = config(prompt="a ball", generate_audio=False, **fitted(config, asked))
        for name, multiple in (("height", config.size_multiple), ("width", config.size_multiple)):
            assert abs(getattr(made, name) - asked[name]) <= max(multiple / 2, multiple - asked[name])
        assert abs(made.num_frames - num_frames) <= 4
        assert fitted(config, fitted(config, asked)) == fitted(config, asked)


@pytest.mark.parametrize("name", ["height", "num_frames"])
def test_what_is_no_size_is_an_error(name: str) -> None:
    for value in (0, -1, -100):
        with pytest.raises(ConfigError, match=name):
            ClipConfig(prompt="a ball", **fitted(ClipConfig, {name: value}))


def test_only_what_was_given() -> None:
    assert fitted(ClipConfig, {}) == {}
    assert fitted(ClipConfig, {"frame_rate": 12.5, "height": 65}) == {"frame_rate": 12.5, "height": 64}


def test_what_was_rounded_is_told_or_refused() -> None:
    config = DistilledConfig(prompt="a ball", height=64, width=128, num_frames=17)
    asked: dict[str, Any] = {"height": 70, "width": 128, "num_frames": 18, "seed": "3"}
    told = rounded(asked, config, strict=False)
    assert [line.split(":")[0] for line in told] == ["--height 70 becomes 64", "--num-frames 18 becomes 17"]
    with pytest.raises(
        ConfigError, match="--height 70 cannot be made, only multiples of 64; give --height 64"
    ):
        rounded(asked, config, strict=True)
    assert rounded({**asked, "height": None, "num_frames": 17}, config, strict=True) == []


@given(
    height=st.integers(20, 100),
    width=st.integers(20, 100),
    frames=st.integers(9, 40),
    more=st.integers(-8, 8),
)
def test_a_clip_of_any_size_can_be_changed(height: int, width: int, frames: int, more: int) -> None:
    source = VideoInput(np.zeros((frames, height, width, 3), np.uint8), frame_rate=8.0)
    asked = {"num_frames": min(max(frames + more, 1), frames)}
    sizes = fitted_to_source(RetakeConfig, asked, source)
    config = RetakeConfig(prompt="a ball", source=source, start_time=0.0, end_time=0.1, **sizes)
    told = rounded({**asked, "height": None, "width": None}, config, strict=False)
    for name, own in (("height", height), ("width", width)):
        assert any(f"the clip's {name} {own} becomes" in line for line in told) == bool(own % 32)


def test_more_frames_than_the_clip_has_stay_an_error() -> None:
    source = VideoInput(np.zeros((9, 32, 32, 3), np.uint8), frame_rate=8.0)
    assert fitted_to_source(RetakeConfig, {"num_frames": 17}, source)["num_frames"] == 17


def test_notes_are_of_the_config_that_is_made() -> None:
    config = DistilledConfig(prompt="a ball", height=64, width=64)
    assert rounded({"height": 64}, replace(config, width=128), strict=True) == []
