"""The record in clips and sounds: what is written is read again, whatever is in it."""

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ltx_pipelines import MediaError
from ltx_pipelines.media import write_mp4, write_wav
from ltx_pipelines.record import read_settings

FRAMES = np.zeros((1, 32, 32, 3), np.uint8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
AWKWARD = 'a = b; # "c"\\\nd\r\n[CHAPTER]\n=\u00e9\U0001f600'


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=TEXTS)
def test_a_sound_carries_its_settings(tmp_path: Path, prompt: str) -> None:
    made: dict[str, Any] = {"pipeline": "text-to-audio", "prompt": prompt, "awkward": AWKWARD}
    path = tmp_path / "a.wav"
    write_wav(path, np.zeros((2, 101)), 16000, made)
    assert read_settings(path) == made
    with wave.open(str(path)) as file:
        assert (file.getnframes(), file.getframerate()) == (101, 16000)
    data = path.read_bytes()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8


@pytest.mark.parametrize("prompt", ["a red ball", AWKWARD, "x" * 20_000])
def test_a_clip_carries_its_settings(tmp_path: Path, prompt: str) -> None:
    made = {"pipeline": "distilled", "prompt": prompt, "seed": 3, "images": [], "cfg_scale": 0.1}
    write_mp4(tmp_path / "a.mp4", FRAMES, 8.0, metadata=made)
    assert read_settings(tmp_path / "a.mp4") == made


def test_files_without_settings(tmp_path: Path) -> None:
    write_mp4(tmp_path / "none.mp4", FRAMES, 8.0)
    write_mp4(tmp_path / "other.mp4", FRAMES, 8.0, metadata={"made by": "another"})
    (tmp_path / "text.mp4").write_text(json.dumps({"pipeline": "distilled"}))
    for name, message in (
        ("none.mp4", "carries no settings"),
        ("other.mp4", "carries no settings"),
        ("text.mp4", "cannot be read"),
        ("missing.mp4", "does not exist"),
    ):
        with pytest.raises(MediaError, match=message):
            read_settings(tmp_path / name)
