"""Pictures of an unfinished clip, as often as was asked for."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from ltx_cli import previews
from ltx_cli.previews import PreviewWriter
from ltx_pipelines import StageEvent
from ltx_pipelines.preview import LatentToRGB
from PIL import Image

GREY = LatentToRGB(np.zeros((3, 3), np.float32), 1.0)
LATENT = mx.zeros((1, 2, 3, 4, 6))


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the map was asked for, which costs nothing here."""
    asked: list[object] = []

    def fit(models: object) -> LatentToRGB:
        asked.append(models)
        return GREY

    monkeypatch.setattr(previews, "latent_to_rgb", fit)
    return asked


def test_every_so_many_steps_and_at_the_end(tmp_path: Path, fitted: list[object]) -> None:
    models: Any = object()
    wrote: list[tuple[str, int]] = []
    writer = PreviewWriter(
        models, tmp_path / "clip.mp4", 3, lambda path, event, _: wrote.append((path.name, event.index)), print
    )
    writer(StageEvent("encode prompt", 0, 1))
    # Before any network is loaded, and once.
    assert fitted == [models]
    for index in range(9):
        writer(StageEvent("denoise", index, 8, 0.5, LATENT if index else None))
    assert wrote == [("clip.preview.png", index) for index in (3, 6, 8)]
    assert fitted == [models]
    with Image.open(tmp_path / "clip.preview.png") as picture:
        assert picture.size == (3 * 240 + 2 * 4, 160)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.preview.png"]


def test_a_picture_that_cannot_be_written_costs_no_run(tmp_path: Path, fitted: list[object]) -> None:
    told: list[str] = []
    models: Any = object()
    writer = PreviewWriter(
        models, tmp_path / "gone" / "clip.mp4", 1, lambda *_: told.append("wrote"), told.append
    )
    writer(StageEvent("denoise", 1, 8, 0.5, LATENT))
    assert len(told) == 1
    assert "clip.preview.png cannot be written: No such file" in told[0]
