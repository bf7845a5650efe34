"""Configs: what they accept, and that everything else is an error that names a way out."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core import ConfigError
from ltx_pipelines import (
    ClipConfig,
    DistilledConfig,
    ImageCondition,
    MediaError,
    OneStageConfig,
    TextToVideoConfig,
    TwoStageConfig,
    TwoStageHQConfig,
)
from ltx_pipelines.defaults import NEGATIVE_PROMPT, defaults_for
from ltx_pipelines.few_steps import stage_1_sigmas

PIXELS = np.zeros((4, 6, 3), np.uint8)
KINDS = [TextToVideoConfig, OneStageConfig, DistilledConfig, TwoStageConfig, TwoStageHQConfig]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(-5, 400), st.integers(-5, 400), st.integers(-20, 300))
def test_sizes(kind: type[ClipConfig], height: int, width: int, num_frames: int) -> None:
    """Accepted exactly if the sides are multiples of at least 64 pixels and the frames 8 k + 1."""
    multiple = kind.size_multiple
    right = all(side >= 64 and side % multiple == 0 for side in (height, width))
    right = right and num_frames >= 1 and num_frames % 8 == 1
    if right:
        assert kind(prompt="x", height=height, width=width, num_frames=num_frames).num_frames == num_frames
    else:
        with pytest.raises(ConfigError, match=r"nearest are"):
            kind(prompt="x", height=height, width=width, num_frames=num_frames)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 500).filter(lambda n: n % 8 != 1))
def test_the_named_frame_counts_are_the_neighbours(num_frames: int) -> None:
    with pytest.raises(ConfigError) as caught:
        ClipConfig(prompt="x", num_frames=num_frames)
    below, above = (int(part) for part in str(caught.value).split("nearest are ")[1].split(" and "))
    assert below % 8 == above % 8 == 1
    assert below < num_frames < above == below + 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": " \n"}, "prompt"),
        ({"frame_rate": 0.0}, "frame_rate 0.0"),
        ({"frame_rate": float("nan")}, "frame_rate nan"),
        ({"seed": -1}, "seed -1"),
        ({"images": (ImageCondition(PIXELS, frame=121),)}, "frames 0 to 120"),
        ({"images": (ImageCondition(PIXELS, frame=-122),)}, "frames 0 to 120"),
    ],
)
def test_other_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClipConfig(**{"prompt": "x", **changes})  # type: ignore[arg-type]


def test_images_are_checked_with_the_config(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        ClipConfig(prompt="x", images=(ImageCondition(tmp_path / "none.png"),))
    for changes in (
        {"strength": 1.5},
        {"crf": 52},
        {"image": PIXELS.astype(np.float32)},
        {"image": PIXELS[0]},
    ):
        with pytest.raises(ConfigError):
            ImageCondition(**{"image": PIXELS, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "steps"), [(TextToVideoConfig, 1), (OneStageConfig, 0), (DistilledConfig, 9)]
)
def test_steps(kind: type[ClipConfig], steps: int) -> None:
    with pytest.raises(ConfigError, match=f"num_inference_steps {steps}"):
        kind(prompt="x", num_inference_steps=steps)  # type: ignore[call-arg]


@given(st.integers(1, 8))
def test_a_shorter_distilled_schedule_keeps_its_head_and_ends_at_zero(steps: int) -> None:
    whole, short = stage_1_sigmas(None).tolist(), stage_1_sigmas(steps).tolist()
    assert len(short) == steps + 1
    assert short[:-1] == whole[:steps]
    assert short[-1] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_settings_are_plain_values(kind: type[ClipConfig]) -> None:
    config = kind(prompt="x", height=64, width=64, images=(ImageCondition(PIXELS, frame=-1),))
    values = json.loads(json.dumps(config.settings()))
    assert values["prompt"] == "x"
    assert values["images"][0]["frame"] == -1


def test_defaults_by_generation() -> None:
    old, new, newer = defaults_for((2, 0, 0)), defaults_for((2, 3, 0)), defaults_for((2, 5))
    assert defaults_for(()) == old
    assert (old.num_inference_steps, new.num_inference_steps, newer.num_inference_steps) == (40, 30, 30)
    assert (old.video.stg_blocks, new.audio.stg_blocks) == ([29], [28])
    assert (old.image_crf, new.image_crf, newer.image_crf) == (33, 33, 18)
    assert (old.video.cfg_scale, old.audio.cfg_scale) == (3.0, 7.0)


def test_negative_prompt_is_one_clean_line() -> None:
    parts = NEGATIVE_PROMPT.split(", ")
    assert all(part == part.strip() and part and "\n" not in part and "  " not in part for part in parts)
    assert parts[0] == "has_subtitles"
    assert parts[-1] == "or AI artifacts."


def test_a_clip_too_short_for_sound_is_refused() -> None:
    with pytest.raises(ConfigError, match="too short for sound"):
        OneStageConfig(prompt="x", num_frames=1, frame_rate=50.0)
    OneStageConfig(prompt="x", num_frames=1, frame_rate=50.0, generate_audio=False)
    OneStageConfig(prompt="x", num_frames=1, frame_rate=24.0)
