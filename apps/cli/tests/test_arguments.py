"""--image with one to three values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ltx_cli.arguments import join_image_values, parse_image
from ltx_core import ConfigError

PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
    lambda text: not text.startswith("-")
)


@given(PATHS, st.none() | st.tuples(st.integers(-9, 99)) | st.tuples(st.integers(-9, 99), st.floats(0, 1)))
def test_values_come_back(path: str, numbers: tuple[float, ...] | None) -> None:
    values = [path, *map(str, numbers or ())]
    joined = join_image_values(["generate", "--image", *values, "--seed", "3"])
    assert joined[0] == "generate"
    assert joined[3:] == ["--seed", "3"]
    image = parse_image(joined[2])
    given_values = list(numbers or ())
    frame, strength = given_values + [0, 1.0][len(given_values) :]
    assert image.image == path
    assert image.frame == frame
    assert np.isclose(image.strength, strength)


@given(st.lists(st.sampled_from(["a", "3", "0.5", "--seed", "-1"])))
def test_arguments_without_images_are_left_alone(arguments: list[str]) -> None:
    assert join_image_values(arguments) == arguments


def test_nothing_is_joined_behind_a_double_dash() -> None:
    arguments = ["generate", "--", "--image", "x", "1"]
    assert join_image_values(arguments) == arguments


def test_a_prompt_behind_an_image_stays_a_prompt() -> None:
    assert join_image_values(["--image", "x.png", "a red fox"])[2:] == ["a red fox"]


def test_errors() -> None:
    with pytest.raises(ConfigError, match=r"frame '1\.5'"):
        parse_image("x.png\x001.5")
    with pytest.raises(ConfigError, match="strength 7"):
        parse_image("x.png\x000\x007")
