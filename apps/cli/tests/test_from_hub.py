"""Names of repositories in the place of paths; the cache is played by the test."""

from pathlib import Path

import pytest
from ltx_cli import models
from ltx_cli.models import ModelFiles
from ltx_core import ConfigError, LTXError

HERE = {
    "Lightricks/LTX-2.3": {
        "checkpoint": Path("c/dev.safetensors"),
        "spatial upscaler": Path("c/upscaler.safetensors"),
        "distilled LoRA": Path("c/lora.safetensors"),
    },
    "google/gemma": {"gemma": Path("g")},
}


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bool]]:
    calls: list[tuple[str, str, bool]] = []

    def paths(repo: str, pipeline: str, *, offline: bool) -> dict[str, Path]:
        calls.append((repo, pipeline, offline))
        return HERE[repo]

    monkeypatch.setattr(models, "paths_in_cache", paths)
    return calls


def test_repositories_are_fetched_for_the_pipeline(
    asked: list[tuple[str, str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[object, ...]] = []
    monkeypatch.setattr(models, "CheckpointModels", lambda *paths, **_: opened.append(paths))
    files = ModelFiles(Path("Lightricks/LTX-2.3"), Path("google/gemma"), None, offline=True)
    files.open(distilled=False, two_stages=True)
    assert asked == [("Lightricks/LTX-2.3", "two-stage", True), ("google/gemma", "two-stage", True)]
    assert opened == [(Path("c/dev.safetensors"), Path("g"), Path("c/upscaler.safetensors"))]
    assert files.require_distilled_lora().path == Path("c/lora.safetensors")
    own = ModelFiles(Path("Lightricks/LTX-2.3"), Path("google/gemma"), Path("mine.safetensors"))
    own.open(distilled=True)
    assert opened[1][2] == Path("mine.safetensors")


def test_a_repository_in_the_wrong_place() -> None:
    files = ModelFiles(Path("google/gemma"), Path("google/gemma"), None)
    with pytest.raises(ConfigError, match="holds no checkpoint, but gemma"):
        files.open(distilled=True)


def test_paths_are_left_alone(asked: list[tuple[str, str, bool]], tmp_path: Path) -> None:
    files = ModelFiles(tmp_path / "x.safetensors", tmp_path, None)
    with pytest.raises(LTXError, match="does not exist"):
        files.open(distilled=True)
    assert not asked
