"""What programs are told: one JSON object a line, as docs/cli.md says."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ltx_cli.clip import Clip
from ltx_cli.events import JsonView, fail
from ltx_cli.models import ModelFiles
from ltx_cli.needs import Needs
from ltx_pipelines import ClipConfig, MediaError, StageEvent, StagePlan, TextToAudioConfig
from ltx_pipelines.preview import LatentToRGB

PLAN = [StagePlan("encode prompt", 1), StagePlan("denoise", 2, "2 steps")]


def clip(config: ClipConfig) -> Clip:
    models = SimpleNamespace(name="tiny", dtype="mlx.core.float32", lora_reports=["a: 3 weights changed"])
    runner: Any = SimpleNamespace(models=models, recipe=SimpleNamespace(name="one-stage"))
    needs = Needs(memory=3, memory_free=None, model_files=5, clip=7, disk_free=9)
    files = ModelFiles(None, None, None)
    return Clip(files, runner, config, Path("out.mp4"), notes=("take care",), needs=needs)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    seen = capsys.readouterr()
    assert seen.out == ""
    return [json.loads(line) for line in seen.err.splitlines()]


def test_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonView()
    watched: list[StageEvent] = []
    view.watchers.append(watched.append)
    view.begin(clip(ClipConfig(prompt="a ball", height=64, width=96, num_frames=9, frame_rate=8.0)), PLAN)
    with view.stages(PLAN) as on_step:
        for event in (
            StageEvent("denoise", 0, 2),
            StageEvent("denoise", 1, 2, 0.5),
            StageEvent("denoise", 2, 2, 0.0),
        ):
            on_step(event)
    view.preview(Path("out.preview.png"), watched[1], LatentToRGB(np.zeros((2, 3)), 0.87654))
    view.end(Path("out.mp4"), 1.23456)
    note, plan, *steps, preview, done = events(capsys)
    assert note == {"event": "note", "text": "take care"}
    assert plan == {
        "event": "plan", "output": "out.mp4", "pipeline": "one-stage", "model": "tiny", "dtype": "float32",
        "loras": ["a: 3 weights changed"], "prompt": "a ball", "seed": 10, "width": 96, "height": 64,
        "num_frames": 9, "frame_rate": 8.0, "seconds": 1.125, "sound": True,
        "stages": [
            {"name": "encode prompt", "units": 1, "detail": ""},
            {"name": "denoise", "units": 2, "detail": "2 steps"},
        ],
        "needs": {"memory": 3, "memory_free": None, "model_files": 5, "clip": 7, "disk_free": 9},
    }  # fmt: skip
    assert [
        (step["event"], step["stage"], step["index"], step["total"], step["sigma"]) for step in steps
    ] == [
        ("stage", "denoise", 0, 2, None),
        ("stage", "denoise", 1, 2, 0.5),
        ("stage", "denoise", 2, 2, 0.0),
    ]
    assert steps[0]["left"] is None
    assert steps[1]["left"] >= 0
    assert steps[2]["left"] == 0
    assert preview == {
        "event": "preview", "path": "out.preview.png", "stage": "denoise", "index": 1, "quality": 0.877,
    }  # fmt: skip
    assert done == {"event": "done", "output": "out.mp4", "seconds": 1.235}
    assert len(watched) == 3


def test_a_sound_has_no_size(capsys: pytest.CaptureFixture[str]) -> None:
    JsonView().begin(clip(TextToAudioConfig(prompt="rain", duration=2.0)), PLAN)
    plan = events(capsys)[1]
    assert (plan["width"], plan["height"], plan["num_frames"], plan["seconds"]) == (0, 0, 0, 2.0)


def test_the_last_event_of_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        fail(MediaError("no such clip"))
    (said,) = events(capsys)
    assert said == {"event": "error", "text": "no such clip", "exit_code": end.value.code}
