"""Prompt enhancement: what is written is used if it is of use, printed and stored."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import ltx_core  # noqa: F401  (BLAS before mlx)
import ltx_models.text_encoder
import numpy as np
import pytest
from ltx_pipelines import (
    CheckpointModels,
    DistilledConfig,
    ImageCondition,
    RetakeConfig,
    StageEvent,
    TextToAudioConfig,
    VideoInput,
    enhance_prompt,
)
from ltx_pipelines.enhance import clean, enhancement_plan, is_useful
from ltx_pipelines.events import ignore

from tests.e2e.conftest import Ran

GOOD = (
    "A red fox trots over fresh snow at dawn, and its paws crunch softly while a crow calls from a bare tree."
)
FRAMES = np.zeros((9, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def models(files: dict[str, Path]) -> CheckpointModels:
    return CheckpointModels(files["--checkpoint"], files["--gemma"], dtype="float32")


@pytest.fixture
def chats(models: CheckpointModels, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Gemma is asked, which answers well."""
    with models.text_encoder() as encoder:
        tokenizer = encoder.tokenizer
    asked: list[str] = []

    def answer(gemma: Any, prompt: list[int], **_: Any) -> Iterator[int]:
        asked.append(tokenizer._tokenizer.decode(prompt))
        yield from tokenizer._tokenizer(GOOD, add_special_tokens=False)["input_ids"]

    monkeypatch.setattr(ltx_models.text_encoder, "generate", answer)
    return asked


def test_a_good_answer_becomes_the_prompt(models: CheckpointModels, chats: list[str]) -> None:
    config = DistilledConfig(prompt="a fox", seed=3)
    events: list[StageEvent] = []
    enhanced = enhance_prompt(models, config, events.append)
    assert enhanced.prompt == GOOD
    assert enhanced.user_prompt == "a fox"
    assert (enhanced.settings()["prompt"], enhanced.settings()["user_prompt"]) == (GOOD, "a fox")
    assert config.prompt == "a fox"
    assert "user_prompt" not in config.settings()
    plan = enhancement_plan()
    assert {event.stage for event in events} == {plan.name}
    assert [event.index for event in events] == sorted(event.index for event in events)
    assert (events[0].index, events[-1].index) == (0, plan.units)


def test_gemma_is_told_what_is_given(models: CheckpointModels, chats: list[str]) -> None:
    image = ImageCondition(FRAMES[0])
    source = VideoInput(FRAMES, 24.0)
    for config in (
        DistilledConfig(prompt="a fox"),
        DistilledConfig(prompt="a fox", images=(image,)),
        RetakeConfig(prompt="a fox", source=source, start_time=0.0, end_time=0.1),
        TextToAudioConfig(prompt="a fox"),
    ):
        assert enhance_prompt(models, config, ignore).prompt == GOOD
    text, first, retake, sound = chats
    assert "Request: a fox" in text
    assert text.startswith("<bos><start_of_turn>user\n")
    assert text.endswith("<end_of_turn>\n<start_of_turn>model\n")
    assert "given images" in first
    assert "given images" in retake
    assert "given images" not in text
    assert "Nothing is seen" in sound


def test_the_prompt_stays_where_the_answer_is_of_no_use(models: CheckpointModels) -> None:
    """The text encoder of the fixtures has random weights."""
    config = DistilledConfig(prompt="a fox")
    assert enhance_prompt(models, config, ignore) is config


@pytest.mark.parametrize(
    "text",
    [
        "",
        "snow",
        "the the the the the the the the the the",
        "I'm sorry, but I cannot help with that request, as it is against the rules of the house.",
        "A fox \ufffd\ufffd in the snow and the wind",
        "xq zzt prr kkw flmp drw qqa nnw vvb lls",
        "1 2 3 4 5 6 7 8 9 10 11 of the and in it is on 12 13 14 15 16 17 18 19 20 21 22 23 24",
        "A fox in the <unused12> of the snow and the wind",
    ],
)
def test_useless_answers(text: str) -> None:
    assert not is_useful(clean(text))


def test_good_answers() -> None:
    assert is_useful(GOOD)
    assert is_useful(
        'A woman in a grey coat says in French: "Je suis desolee." She turns and walks to the door.'
    )
    assert (
        clean("**  \u201cStop\u201d, he says \u2013 it\u2019s\n\nlate. The tr")
        == '"Stop", he says - it\'s late.'
    )
    assert clean("- A fox\n runs") == "A fox runs"
    assert clean("12 - ?!") == ""


def test_the_command(ltx: Callable[..., Ran], files: dict[str, Path], tmp_path: Path) -> None:
    model = [part for option in files.items() for part in option]
    small = ["--height", 64, "--width", 64, "--num-frames", 9, "--steps", 2, "--enhance-prompt"]
    output = tmp_path / "clip.mp4"
    ran = ltx("generate", "a fox", *model, *small, "-o", output)
    assert ran.status == 0, ran.err
    assert "the prompt stays as it was given" in ran.err
    answer = "from ltx_pipelines import enhance; enhance.clean = lambda text: " + repr(GOOD)
    ran = ltx("generate", "a fox", *model, *small, "-o", output, setup=answer)
    assert ran.status == 0, ran.err
    assert f"prompt: {GOOD}" in ran.err
    stored = read_comment(output)
    assert (stored["prompt"], stored["user_prompt"]) == (GOOD, "a fox")


def read_comment(path: Path) -> dict[str, Any]:
    """The settings in a clip."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "ffmetadata", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    comment = next(line for line in text.splitlines() if line.startswith("comment=")).removeprefix("comment=")
    values: dict[str, Any] = json.loads(re.sub(r"\\(.)", r"\1", comment))
    return values
