"""docs/cli.md says of every option and of every event what it is."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ltx_cli.events import JsonView, emit, fail
from ltx_cli.main import load
from ltx_pipelines import MediaError, StageEvent
from ltx_pipelines.preview import LatentToRGB

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
CLIPS = ("generate", "keyframes", "ic-lora", "audio-to-video", "retake", "extend", "audio")


def test_every_option_is_in_the_tables_and_no_other() -> None:
    there = {
        flag
        for command in CLIPS
        for parameter in load(command).params
        for flag in parameter.opts
        if flag.startswith("--") and flag != "--help"
    }
    tables = PAGE.split("## All options")[1]
    assert set(re.findall(r"--[a-z][a-z0-9-]*", tables)) == there


def test_every_event_is_in_the_table_with_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonView()
    with view.stages([]) as on_step:
        on_step(StageEvent("denoise", 0, 2))
    view.preview(Path("a.png"), StageEvent("denoise", 1, 2), LatentToRGB(np.zeros((2, 3)), 0.5))
    view.say("take care")
    emit("warning", text="it is dark")
    view.end(Path("a.mp4"), 1.0)
    with pytest.raises(SystemExit):
        fail(MediaError("no"))
    table = PAGE.split("## Events for programs")[1].split("\n## ")[0]
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(events) == 6
    for event in events:
        name = event.pop("event")
        row = next(line for line in table.splitlines() if line.startswith(f"| `{name}` |"))
        assert [value for value in event if f"`{value}`" not in row] == []
