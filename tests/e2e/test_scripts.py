"""The reference scripts run as their first lines say, on a small checkpoint."""

import ast
import runpy
import shlex
import sys
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import ltx_pipelines
import numpy as np
import pytest
from ltx_pipelines.media import write_mp4, write_wav
from PIL import Image

from tests.e2e.conftest import FIXTURES
from tests.e2e.inspect_media import read_clip
from tests.untrained_pocket import write_untrained

SCRIPTS = Path(__file__).parents[2] / "apps" / "scripts"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem != "model_files")
SOUND = np.random.default_rng(0).normal(0, 0.2, (2, 16000)).astype(np.float32)
OWN_SIZE = ("retake", "extend")  # the source's


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that the commands name."""
    folder = tmp_path_factory.mktemp("scripts")
    frames = np.random.default_rng(0).integers(0, 256, (25, 64, 64, 3), np.uint8)
    for name in ("source", "reference"):
        write_mp4(folder / f"{name}.mp4", frames, 16.0, SOUND, 16000)
    for name in ("start", "first", "last"):
        Image.fromarray(frames[0]).save(folder / f"{name}.png")
    write_wav(folder / "drums.wav", SOUND, 16000)
    (folder / "ic_lora.safetensors").symlink_to(FIXTURES / "ic_lora.safetensors")
    return folder


def command(name: str) -> list[str]:
    """The arguments in a script's own words."""
    about = ast.get_docstring(ast.parse((SCRIPTS / f"{name}.py").read_text(encoding="utf-8")))
    assert about is not None
    (line,) = (line for line in about.splitlines() if line.startswith("uv run python "))
    words = shlex.split(line)
    assert words[3] == f"apps/scripts/{name}.py"
    return words[4:]


@pytest.mark.parametrize("name", NAMES)
def test_script(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = command(name)
    if name == "samplers_only":
        given += ["--training-steps", "2", "--points", "10"]
    else:
        side = "128" if name == "ic_lora" else "64"
        given += [] if name in OWN_SIZE else ["--height", side, "--width", side]
        given += ["--num-frames", "33" if name == "extend" else "9", "--steps", "2"]
        given += [
            "--checkpoint",
            str(FIXTURES / "checkpoint.safetensors"),
            "--gemma",
            str(FIXTURES / "gemma"),
        ]
        given += ["--spatial-upscaler", str(FIXTURES / "spatial_upscaler_x2.safetensors")]
        if name in ("two_stage", "two_stage_hq", "keyframes", "audio_to_video"):
            given += ["--distilled-lora", str(FIXTURES / "distilled_lora.safetensors")]
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "argv", [name, *given])
    runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
    said = capsys.readouterr().out
    if name == "samplers_only":
        assert len(said.splitlines()) == 7
    elif name == "text_to_audio":
        assert (folder / "sound.wav").stat().st_size > 1000
    else:
        clip = read_clip(folder / given[given.index("-o") + 1])
        assert len(clip.frames) == {"retake": 25, "extend": 41}.get(name, 9)
        assert clip.sound is not None
        assert np.isfinite(clip.sound).all()
        assert "decode video" in said


def test_without_model_files_it_is_the_pocket_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltx_pocket.model.WEIGHTS", write_untrained(tmp_path))
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["two_stage", "a ball", "--height", "64", "--width", "64", "--steps", "2"]
    )
    runpy.run_path(str(SCRIPTS / "two_stage.py"), run_name="__main__")
    clip = read_clip(tmp_path / "clip.mp4")
    assert clip.frames.shape == (33, 64, 64, 3)
    assert clip.frame_rate == 16


def test_every_pipeline_has_one() -> None:
    factories = {
        name.removeprefix("create_").removesuffix("_pipeline")
        for name in ltx_pipelines.__all__
        if name.startswith("create_")
    }
    assert factories - {"keyframe_interpolation"} | {"keyframes", "samplers_only"} == set(NAMES)
