"""The record of a run: what it depends on is in it, and in its hash."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from ltx_core import Audio
from ltx_pipelines import ClipConfig, ImageCondition, LoraPathStrength, MediaError, VideoInput
from ltx_pipelines.metadata import FOR_PEOPLE, settings_hash, settings_of
from ltx_pipelines.result import Recipe
from PIL import Image


def pipeline(**options: Any) -> Any:
    """One whose networks come from nowhere."""
    models = SimpleNamespace(name="none", dtype=mx.float32, lora_reports=[], devices=None)
    return SimpleNamespace(models=models, recipe=Recipe("one-stage", options))


def key(config: ClipConfig, **options: Any) -> str:
    return settings_hash(settings_of(pipeline(**options), config))


BASE = ClipConfig(prompt="a ball", height=64, width=64, num_frames=9)


def test_everything_is_plain_and_named() -> None:
    settings = settings_of(pipeline(distilled=True), BASE)
    assert json.loads(json.dumps(settings)) == settings
    assert settings["pipeline"] == "one-stage"
    assert settings["distilled"] is True
    assert {"prompt", "seed", "height", "frame_rate", "dtype", "backend", "device", "files"} <= set(settings)
    assert {"ltx-core", "ltx-pipelines", "mlx"} <= set(settings["versions"])


@pytest.mark.parametrize(
    "change",
    [{"prompt": "a cube"}, {"seed": 11}, {"height": 96}, {"num_frames": 17}, {"frame_rate": 12.0},
     {"generate_audio": False}],
)  # fmt: skip
def test_what_changes_the_clip_changes_its_hash(change: dict[str, Any]) -> None:
    assert key(BASE) == key(replace(BASE))
    assert key(replace(BASE, **change)) != key(BASE)


def test_what_is_for_people_does_not() -> None:
    settings = settings_of(pipeline(), BASE)
    assert settings_hash({**settings, **dict.fromkeys(FOR_PEOPLE, "other")}) == settings_hash(settings)
    assert settings_hash({**settings, "versions": {}}) != settings_hash(settings)


def test_inputs_are_known_by_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    keys = []
    for grey in (0, 0, 9):
        Image.new("RGB", (8, 8), (grey,) * 3).save(path)
        keys.append(key(replace(BASE, images=(ImageCondition(path),))))
    assert keys[0] == keys[1] != keys[2]
    arrays = [np.full((8, 8, 3), grey, np.uint8) for grey in (0, 9)]
    keys += [key(replace(BASE, images=(ImageCondition(array),))) for array in arrays]
    assert len(set(keys)) == 4


def test_inputs_inside_of_inputs() -> None:
    """Frames of a clip given as arrays, with their sound."""
    frames, quiet = np.zeros((9, 32, 32, 3), np.uint8), mx.zeros((2, 100))
    config: Any = BASE
    keys = set()
    for video, sound in ((frames, quiet), (frames + 1, quiet), (frames, quiet + 1)):
        given = VideoInput(video, frame_rate=8.0, audio=Audio(sound, 100))
        object.__setattr__(config := replace(BASE), "images", (given_as_image(given),))
        keys.add(key(config))
    assert len(keys) == 3


def given_as_image(video: VideoInput) -> Any:
    """Something in the place of an image that holds a clip."""
    condition = ImageCondition(np.zeros((8, 8, 3), np.uint8))
    object.__setattr__(condition, "image", video)
    return condition


def test_loras_of_stages_are_files(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    keys = []
    for value, strength in ((1.0, 1.0), (1.0, 0.5), (2.0, 1.0)):
        mx.save_safetensors(str(path), {"a": mx.full((2,), value), "b": mx.full((int(value),), value)})
        made = settings_of(pipeline(distilled_lora=[LoraPathStrength(path, strength)]), BASE)
        assert [file["role"] for file in made["files"]] == ["lora of a stage"]
        keys.append(settings_hash(made))
    assert len(set(keys)) == 3
    path.unlink()
    gone = settings_of(pipeline(distilled_lora=[LoraPathStrength(path)]), BASE)
    assert gone["files"][0]["fingerprint"] is None


def test_a_file_that_is_gone_costs_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    config = replace(BASE, images=(ImageCondition(path),))
    path.unlink()
    assert settings_of(pipeline(), config)["inputs"] == [{"name": str(path), "sha256": None}]
    with pytest.raises(MediaError):
        replace(BASE, images=(ImageCondition(path),))
