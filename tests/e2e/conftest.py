"""The small official-layout checkpoint, and the command run as a user runs it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.recordings import CASES, unpacked

FIXTURES = unpacked(CASES) / "ltx-2.0"


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is saved among the latents of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def files() -> dict[str, Path]:
    """Option name -> path, for the options that name model files."""
    return {
        "--checkpoint": FIXTURES / "checkpoint.safetensors",
        "--gemma": FIXTURES / "gemma",
        "--spatial-upscaler": FIXTURES / "spatial_upscaler_x2.safetensors",
    }


@pytest.fixture(scope="session")
def ltx() -> Callable[..., Ran]:
    """Run the `ltx` command in a process of its own."""

    def run(*arguments: object, cwd: Path | None = None, setup: str = "") -> Ran:
        code = f"{setup}\nfrom ltx_cli.main import main; main()"
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
