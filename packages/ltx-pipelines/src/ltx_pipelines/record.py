"""The record in a clip: what `GenerationResult.save` wrote of its settings, read again."""

import json
import os
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg

from ltx_pipelines.images import MediaError


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings that a clip or a sound was made with, as `ltx_pipelines.metadata.settings_of` has them.

    Raises:
        MediaError: the file cannot be read, or carries no settings.
    """
    if not Path(path).is_file():
        raise MediaError(f"{path} does not exist; check the path")
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin"]
    command = [*ffmpeg, "-i", str(path), "-f", "ffmetadata", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise MediaError(f"{path} cannot be read: it is no clip and no sound that ffmpeg knows")
    try:
        settings = json.loads(_entries(done.stdout.decode()).get("comment", ""))
    except ValueError:
        settings = None
    if not isinstance(settings, dict) or "pipeline" not in settings:
        raise MediaError(
            f"{path} carries no settings: it was not made by this program, or another one has removed them"
        )
    return settings


def _entries(text: str) -> dict[str, str]:
    r"""The global part of an ffmetadata file: key=value, with a backslash before = ; # and backslashes."""
    lines = text.split("\n[")[0].splitlines()
    pairs = (re.fullmatch(r"([^=\\]+)=(.*)", line) for line in lines)
    return {pair[1].lower(): re.sub(r"\\(.)", r"\1", pair[2]) for pair in pairs if pair}


def append_comment(path: Path, settings: dict[str, Any]) -> None:
    """Add the settings to a wav file: a LIST of INFO with the comment ICMT behind its samples."""
    text = json.dumps(settings).encode() + b"\0"
    comment = b"ICMT" + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"\0" * (file.tell() % 2))
        file.write(b"LIST" + struct.pack("<I", 4 + len(comment)) + b"INFO" + comment)
        size = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
