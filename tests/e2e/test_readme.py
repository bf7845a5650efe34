"""What the READMEs tell people to type works as typed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import FIXTURES
from tests.e2e.inspect_media import read_clip

ROOT = Path(__file__).parents[2]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    for name in ("checkpoint.safetensors", "gemma", "spatial_upscaler_x2.safetensors"):
        (tmp_path / name).symlink_to(FIXTURES / name)
    return tmp_path


@pytest.mark.parametrize("readme", ["README.md", "packages/ltx-pipelines/README.md"])
def test_python_examples(readme: str, model_folder: Path) -> None:
    (code,) = blocks(ROOT / readme, "python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=model_folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(read_clip(model_folder / "clip.mp4").frames) == 17


def test_the_first_command_makes_a_clip(tmp_path: Path) -> None:
    first, second = blocks(ROOT / "README.md", "sh")[0].strip().splitlines()
    assert second == "uv run pytest"
    setup, command = first.split(" && ")
    assert setup == "pip install uv"
    words = shlex.split(command)
    assert words[:3] == ["uv", "run", "ltx"]
    code = "from ltx_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words[3:]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    clip = read_clip(tmp_path / "clip.mp4")
    assert clip.frames.shape == (33, 256, 256, 3)
    assert abs(clip.sound_seconds - 33 / 16) <= 1 / 16


def test_ci_runs_the_readmes_test_command() -> None:
    second = blocks(ROOT / "README.md", "sh")[0].strip().splitlines()[1]
    assert second in (ROOT / ".ci" / "run").read_text().splitlines()
