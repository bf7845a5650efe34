"""Guidance and LoRAs of guided pipelines: what a caller may change, and what suits a model."""

import json
import math
import warnings
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core import ConfigError, MultiModalGuiderFactory, MultiModalGuiderParams
from ltx_pipelines import (
    GuidanceChange,
    ImageCondition,
    KeyframeInterpolationConfig,
    LoraPathStrength,
    ModelWarning,
    OneStageConfig,
    TwoStageConfig,
    TwoStageHQConfig,
    require_distilled_lora,
)
from ltx_pipelines.defaults import LTX_2_0, LTX_2_3, high_quality
from ltx_pipelines.distillation import is_distilled, require_distilled
from ltx_pipelines.guided import check_guidance

IMAGE = ImageCondition(np.zeros((4, 4, 3), np.uint8))
SCALES = st.none() | st.floats(-5, 9)
CHANGES = st.builds(
    GuidanceChange,
    cfg_scale=SCALES,
    stg_scale=SCALES,
    stg_blocks=st.none() | st.lists(st.integers(0, 47), min_size=1, max_size=3),
    rescale_scale=SCALES,
    modality_scale=SCALES,
    skip_step=st.none() | st.integers(0, 4),
)


def models(**changes: Any) -> Any:
    """What the checks ask of a model source."""
    return SimpleNamespace(
        **{"name": "it", "num_blocks": 48, "distilled": None, "defaults": LTX_2_3, **changes}
    )


@given(CHANGES)
def test_a_change_keeps_what_it_does_not_name(change: GuidanceChange) -> None:
    changed = change(LTX_2_3.audio)
    for field in fields(MultiModalGuiderParams):
        asked = getattr(change, field.name)
        assert getattr(changed, field.name) == (
            getattr(LTX_2_3.audio, field.name) if asked is None else asked
        )


@settings(max_examples=50)
@given(CHANGES, st.none() | st.floats(1, 9), st.none() | st.floats(0, 2))
def test_of_a_stream_goes_before_of_both(
    change: GuidanceChange, cfg_scale: float | None, stg_scale: float | None
) -> None:
    config = OneStageConfig(prompt="x", audio_guidance=change, audio_cfg_scale=cfg_scale, stg_scale=stg_scale)
    video, audio = config.guidance(LTX_2_3)
    assert isinstance(video, MultiModalGuiderParams)
    assert isinstance(audio, MultiModalGuiderParams)
    assert video == (LTX_2_3.video if stg_scale is None else replace(LTX_2_3.video, stg_scale=stg_scale))
    both = {"cfg_scale": cfg_scale, "stg_scale": stg_scale}
    for name, value in both.items():
        own = getattr(change, name)
        wanted = own if own is not None else value if value is not None else getattr(LTX_2_3.audio, name)
        assert getattr(audio, name) == wanted
    assert json.loads(json.dumps(config.settings()))["audio_guidance"] == vars(change)


def test_scales_reach_every_noise_level() -> None:
    params = MultiModalGuiderParams(modality_scale=2.0)
    levels = MultiModalGuiderFactory.from_dict({1.0: params, 0.5: params})
    config = OneStageConfig(prompt="x", video_guidance=levels, cfg_scale=4.0)
    video, _ = config.guidance(LTX_2_0)
    assert isinstance(video, MultiModalGuiderFactory)
    assert [p.cfg_scale for _, p in video.params_by_sigma] == [4.0, 4.0]
    assert [p.modality_scale for _, p in video.params_by_sigma] == [2.0, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cfg_scale": math.nan}, "cfg_scale nan"),
        ({"rescale_scale": math.inf}, "rescale_scale inf"),
        ({"skip_step": -1}, "skip_step -1"),
        ({"stg_blocks": [3, -1]}, r"stg_blocks \[3, -1\]"),
    ],
)
def test_impossible_changes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GuidanceChange(**change)


def test_blocks_that_the_model_lacks() -> None:
    config = OneStageConfig(prompt="x", audio_guidance=GuidanceChange(stg_blocks=[3, 48]))
    check_guidance(config, models(num_blocks=49))
    with pytest.raises(ConfigError, match="audio_guidance: the model has no transformer block 48"):
        check_guidance(config, models())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ltx-2-19b-dev.safetensors", False),
        ("ltx-2.3-22b-dev-fp8.safetensors", False),
        ("ltx-2.3-22b-distilled-1.1.safetensors", True),
        ("LTX-2-19b-distilled.safetensors", True),
        ("checkpoint.safetensors", None),
        ("my-dev-distilled.safetensors", None),
        ("ltx-2.3-22b-development.safetensors", None),
    ],
)
def test_names_of_checkpoints(name: str, kind: bool | None) -> None:
    assert is_distilled(Path("some/ltx-2-dev") / name) is kind


def test_folders_say_it_by_their_files_or_their_scheduler(tmp_path: Path) -> None:
    assert is_distilled(tmp_path) is None
    (tmp_path / "scheduler").mkdir()
    scheduler = tmp_path / "scheduler" / "scheduler_config.json"
    for text, kind in (("{", None), ("{}", None), ('{"use_dynamic_shifting": true}', False),
                       ('{"use_dynamic_shifting": false}', True)):  # fmt: skip
        scheduler.write_text(text)
        assert is_distilled(tmp_path) is kind
    (tmp_path / "ltx-2.3-22b-distilled-lora-384.safetensors").touch()
    (tmp_path / "ltx-2.3-22b-dev.safetensors").touch()
    assert is_distilled(tmp_path) is False
    (tmp_path / "ltx-2.3-22b-distilled.safetensors").touch()
    scheduler.unlink()
    assert is_distilled(tmp_path) is None


def test_a_distilled_schedule_needs_a_distilled_model() -> None:
    for distilled in (True, None):
        require_distilled(models(distilled=distilled))
    with pytest.raises(ConfigError, match="it is not distilled"):
        require_distilled(models(distilled=False))


def test_guidance_on_a_distilled_model_is_a_warning() -> None:
    config = OneStageConfig(prompt="x")
    with pytest.warns(ModelWarning, match="it is distilled"):
        check_guidance(config, models(distilled=True))
    neutral = MultiModalGuiderParams(rescale_scale=0.7)
    levels = MultiModalGuiderFactory.constant(neutral)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_guidance(config, models(distilled=None))
        check_guidance(config, models(distilled=False))
        unguided = replace(config, video_guidance=neutral, audio_guidance=levels)
        check_guidance(unguided, models(distilled=True))


def test_the_second_stage_needs_its_lora() -> None:
    lora = LoraPathStrength("distilled.safetensors", 0.8)
    assert require_distilled_lora(lora) is lora
    with pytest.raises(ConfigError, match="none was given"):
        require_distilled_lora(None)
    with pytest.raises(ConfigError, match=r"distilled\.safetensors was given at strength 0"):
        require_distilled_lora(replace(lora, strength=0.0))


def test_high_quality_has_settings_of_its_own() -> None:
    """Those of the official package for 2.3; a model with other guidance keeps it."""
    config = TwoStageHQConfig(prompt="x")
    assert config.steps(LTX_2_3) == 15
    assert replace(config, num_inference_steps=9).steps(LTX_2_3) == 9
    video, audio = config.guidance(LTX_2_3)
    assert video == MultiModalGuiderParams(3.0, 0.0, [], 0.45, 3.0, 0)
    assert audio == MultiModalGuiderParams(7.0, 0.0, [], 1.0, 3.0, 0)
    own = replace(LTX_2_3, video=replace(LTX_2_3.video, modality_scale=1.0))
    assert high_quality(own).video.modality_scale == 1.0
    assert TwoStageConfig(prompt="x").steps(LTX_2_0) == 40
    assert (config.height, config.width, config.size_multiple) == (1088, 1920, 64)


def test_keyframes_need_images() -> None:
    assert KeyframeInterpolationConfig(prompt="x", images=(IMAGE,)).height == 1024
    with pytest.raises(ConfigError, match="no images"):
        KeyframeInterpolationConfig(prompt="x")
