"""What is said where a clip cannot come out as it did."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest
from ltx_cli import again
from ltx_cli.clip import Clip
from ltx_cli.models import ModelFiles
from ltx_pipelines import ClipConfig, LoraPathStrength
from ltx_pipelines.metadata import file_record, settings_of
from ltx_pipelines.result import Recipe


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    for name in ("lora", "time"):
        mx.save_safetensors(str(tmp_path / f"{name}.safetensors"), {"a": mx.zeros((2,))})
    loras = [LoraPathStrength(tmp_path / "lora.safetensors")]
    models = SimpleNamespace(name="none", dtype=mx.float32, lora_reports=[])
    runner: Any = SimpleNamespace(models=models, recipe=Recipe("two-stage", {"distilled_lora": loras}))
    config = ClipConfig(prompt="a ball", height=64, width=64, num_frames=9)
    upscaler = tmp_path / "time.safetensors"
    return Clip(ModelFiles(None, None, None), runner, config, Path("a.mp4"), temporal_upscaler=upscaler)


@pytest.fixture
def then(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The record of such a clip, which a test may change."""
    settings = settings_of(clip.runner, clip.config)
    assert clip.temporal_upscaler is not None
    settings["files"].append(file_record("temporal upscaler", clip.temporal_upscaler))
    monkeypatch.setattr(again, "read_settings", lambda path: settings)
    return settings


def test_nothing_is_said_of_the_same(clip: Clip, then: dict[str, Any]) -> None:
    assert again.compare(Path("b.mp4"), clip) == []


def test_what_differs_is_named(clip: Clip, then: dict[str, Any]) -> None:
    then["files"][0]["fingerprint"] = "0"
    then["files"].append({"role": "lora", "name": "gone.safetensors", "fingerprint": "1"})
    then["versions"]["mlx"] = "0.1"
    then["dtype"], then["quantize"] = "bfloat16", None
    now = settings_of(clip.runner, clip.config)["versions"]["mlx"]
    assert again.compare(Path("b.mp4"), clip) == [
        f"warning: {text}; it may come out differently"
        for text in (
            "lora.safetensors is another file than b.mp4 was made with",
            "b.mp4 was made with gone.safetensors, which is not used now",
            f"b.mp4 was made with mlx 0.1, this is {now}",
            "b.mp4 was made with dtype bfloat16, this is float32",
        )
    ]


def test_a_record_of_another_release_may_lack_much(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "read_settings", lambda path: {"pipeline": "two-stage"})
    assert again.compare(Path("b.mp4"), clip) == []
