"""Options with one to three values, and model files that belong together."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ltx_cli.arguments import parse_image, parse_lora
from ltx_cli.joined import join_values
from ltx_cli.models import ModelFiles
from ltx_core import ConfigError

PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
    lambda text: not text.startswith("-")
)


@given(PATHS, st.none() | st.tuples(st.integers(-9, 99)) | st.tuples(st.integers(-9, 99), st.floats(0, 1)))
def test_values_of_an_image_come_back(path: str, numbers: tuple[float, ...] | None) -> None:
    values = [path, *map(str, numbers or ())]
    joined = join_values(["generate", "--image", *values, "--seed", "3"])
    assert joined[0] == "generate"
    assert joined[3:] == ["--seed", "3"]
    image = parse_image(joined[2])
    given_values = list(numbers or ())
    frame, strength = given_values + [0, 1.0][len(given_values) :]
    assert image.image == path
    assert image.frame == frame
    assert np.isclose(image.strength, strength)


@given(PATHS, st.none() | st.floats(-2, 2))
def test_values_of_a_lora_come_back(path: str, strength: float | None) -> None:
    values = [path] if strength is None else [path, str(strength)]
    joined = join_values(["--lora", *values, "a prompt", "--lora", "other"])
    assert joined[2:] == ["a prompt", "--lora", "other"]
    lora = parse_lora(joined[1])
    assert lora.path == path
    assert lora.strength == (1.0 if strength is None else strength)


@given(st.lists(st.sampled_from(["a", "3", "0.5", "--steps", "-1"])))
def test_other_arguments_are_left_alone(arguments: list[str]) -> None:
    assert join_values(arguments) == arguments


def test_nothing_is_joined_behind_a_double_dash() -> None:
    arguments = ["generate", "--", "--image", "x", "1"]
    assert join_values(arguments) == arguments


def test_a_prompt_behind_an_image_stays_a_prompt() -> None:
    assert join_values(["--image", "x.png", "a red fox"])[2:] == ["a red fox"]


def test_errors() -> None:
    with pytest.raises(ConfigError, match=r"frame '1\.5'"):
        parse_image("x.png\x001.5")
    with pytest.raises(ConfigError, match="strength 7"):
        parse_image("x.png\x000\x007")
    with pytest.raises(ConfigError, match="LoRA strength nan"):
        parse_lora("x.safetensors\x00nan")


@pytest.mark.parametrize(
    ("given_files", "message"),
    [
        (("x", None, None), "--gemma missing beside --checkpoint;"),
        ((None, "x", None), "--checkpoint missing beside --gemma;"),
        ((None, None, "x"), "--checkpoint and --gemma missing beside --spatial-upscaler;"),
        (("x", None, "y"), "--gemma missing beside --checkpoint and --spatial-upscaler;"),
    ],
)
def test_model_files_belong_together(given_files: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelFiles(*(name and Path(name) for name in given_files))  # type: ignore[arg-type]


def test_no_model_files_stand_for_the_pocket_model() -> None:
    assert ModelFiles(None, None, None).clip["width"] == 256
    assert ModelFiles(Path("x"), Path("y"), None).clip == {}
