"""A folder in which what the pages tell people to type can be typed: model files, media, and a shell."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ltx_pipelines.media import write_mp4, write_wav
from PIL import Image

from tests.e2e.conftest import FIXTURES
from tests.e2e.test_loras import VIDEO, write_lora

ROOT = Path(__file__).parents[2]
RECORDED = FIXTURES.parent
GENERATION = RECORDED / "ltx-2.3"
STAND_IN = ROOT / "tests" / "e2e" / "stand_in.py"
HUB = {
    "Lightricks/LTX-2.3": {
        "ltx-2.3-22b-distilled.safetensors": "checkpoint.safetensors",
        "ltx-2.3-22b-dev.safetensors": "checkpoint.safetensors",
        "ltx-2.3-spatial-upscaler-x2-1.1.safetensors": "spatial_upscaler_x2.safetensors",
    },
    "google/gemma-3-12b-it-qat-q4_0-unquantized": "gemma",
    "mlx-community/gemma-3-12b-it-4bit": "gemma",
}
"""Repositories: their files, or the folder of which they are a copy; by names in the recordings."""
PLAIN = {
    "gemma-3-12b-it": "gemma",
    "gemma-3-12b-it-4bit": "gemma",
    "ltx-2-19b-dev.safetensors": "checkpoint.safetensors",
}
"""Files that pages name without saying where they come from."""
FEW = "test_readme or patchifiers"
SHIMS = {
    "pip": "",
    "uv": '[ "$1" = run ] || { echo "uv $1 is not for this test" >&2; exit 97; }\n'
    'shift; [ "$1" = --no-sync ] && shift; exec "$@"',
    "ltx": f'exec {sys.executable} {STAND_IN} "$@"',
    "python": f'exec {sys.executable} "$@"',
    "pytest": f'cd {ROOT}; exec {sys.executable} -m pytest -k "{FEW}" "${{@/#DIR/{RECORDED}}}"',
}
"""What a command is in the folder. A few tests stand for all of them, and DIR for the recordings."""


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        page: its path from the root.
        line: where it starts.
        language: "sh" or "python".
    """

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """What a page tells people to type."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```(sh|bash|python)\n(.*?)^```", text, re.S | re.M)
    return [
        Block(page, text[: match.start()].count("\n") + 1, match[1].replace("bash", "sh"), match[2])
        for match in found
    ]


def commands(code: str) -> list[str]:
    """The commands of a block, with continued lines joined and without comments."""
    joined = re.sub(r"\\\n\s*", "", code)
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def write_hub(folder: Path) -> None:
    """The repositories of `HUB`."""
    for repo, files in HUB.items():
        place = folder / repo
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(files, str):
            place.symlink_to(GENERATION / files)
            continue
        place.mkdir()
        for name, recorded in files.items():
            (place / name).symlink_to(GENERATION / recorded)
        lora = place / "ltx-2.3-22b-distilled-lora-384-1.1.safetensors"
        write_lora(lora, GENERATION / "checkpoint.safetensors", VIDEO)


def write_files(folder: Path, hub: Path) -> None:
    """What the pages take for granted: the repository's folders, model files, media."""
    for name in ("apps", "packages", "tests", "mkdocs.yml", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", folder / "docs")  # which commands may write to
    shutil.copy(ROOT / "README.md", folder)
    for path in (hub / "Lightricks/LTX-2.3").iterdir():
        (folder / path.name).symlink_to(path)
    for name, recorded in PLAIN.items():
        (folder / name).symlink_to(GENERATION / recorded)
    write_lora(folder / "style.safetensors", GENERATION / "checkpoint.safetensors", VIDEO)
    write_media(folder)


def write_media(folder: Path) -> None:
    """Small clips, pictures and a sound under the names of the pages."""
    rng = np.random.default_rng(0)
    frames, sound = rng.integers(0, 256, (25, 64, 64, 3), np.uint8), rng.normal(0, 0.2, (2, 16000))
    for name in ("source", "reference"):
        write_mp4(folder / f"{name}.mp4", frames, 16.0, sound, 16000)
    for name in ("first", "last"):
        Image.fromarray(frames[0]).save(folder / f"{name}.png")
    write_wav(folder / "drums.wav", sound, 16000)


def write_shims(folder: Path) -> None:
    """The commands of `SHIMS`."""
    folder.mkdir()
    for name, body in SHIMS.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)


@dataclass(frozen=True)
class Newcomer:
    """Somebody at a shell in a folder with everything that the pages name.

    Attributes:
        root: holds a folder for each page, the hub and the shims.
    """

    root: Path

    @staticmethod
    def at(root: Path) -> "Newcomer":
        """Make the hub and the shims."""
        write_hub(root / "hub")
        write_shims(root / "bin")
        return Newcomer(root)

    def folder(self, page: str) -> Path:
        """Where a page is tried, made when it is first asked for."""
        folder = self.root / page.replace("/", "-")
        if not folder.exists():
            folder.mkdir()
            write_files(folder, self.root / "hub")
        return folder

    def types(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Run a block: shell blocks in bash, one process for each."""
        environment = os.environ | {
            "PATH": os.pathsep.join(
                [str(self.root / "bin"), os.environ["PATH"], str(Path(sys.executable).parent)]
            ),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "LTX_HUB_OF_THE_TEST": str(self.root / "hub"),
            "HOME": str(self.root),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "OPENBLAS_NUM_THREADS": "1",
        }
        if block.language == "python":
            words = [sys.executable, str(STAND_IN), "-c", block.code]
        else:
            words = ["bash", "-euo", "pipefail", "-c", block.code]
        return subprocess.run(
            words,
            cwd=self.folder(block.page),
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
