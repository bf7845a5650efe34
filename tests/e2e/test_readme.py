"""The example of the pipelines' README works as typed. Those of the other pages: test_first_hour."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import FIXTURES
from tests.e2e.inspect_media import read_clip
from tests.e2e.newcomer import blocks


def test_python_example(tmp_path: Path) -> None:
    for name in ("checkpoint.safetensors", "gemma", "spatial_upscaler_x2.safetensors"):
        (tmp_path / name).symlink_to(FIXTURES / name)
    (block,) = blocks("packages/ltx-pipelines/README.md")
    done = subprocess.run(
        [sys.executable, "-c", block.code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(read_clip(tmp_path / "clip.mp4").frames) == 17
