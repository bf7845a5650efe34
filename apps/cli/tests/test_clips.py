"""From one command line to clips: batches, seeds, settings from elsewhere."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from ltx_cli import again, clips
from ltx_cli.clip import Clip
from ltx_cli.clips import clip_command
from ltx_cli.models import ModelFiles
from ltx_cli.options import RunOptions, SizeOptions
from ltx_cli.session import NAMES, SessionOptions
from ltx_cli.sizes import fitted
from ltx_core import ConfigError, LTXError
from ltx_pipelines import ClipConfig, MediaError
from typer.testing import CliRunner


@dataclass
class Studio:
    """A command that makes nothing, and what it was asked for."""

    folder: Path
    made: list[Clip] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    failing: str = ""

    def make(self, clip: Clip, view: Any) -> None:
        for note in clip.notes:
            view.say(note)
        if self.failing and self.failing in clip.config.prompt:
            raise LTXError("it fell over")
        self.made.append(clip)

    def __call__(self, *arguments: object) -> None:
        """Run it. Raises what it raises."""
        app = typer.Typer()
        app.command(name="paint")(self.command())
        done = CliRunner().invoke(app, [*map(str, arguments)])
        self.said = done.stderr.splitlines()
        if done.exception is not None:
            raise done.exception

    def command(self) -> Callable[..., None]:
        @clip_command
        def paint(
            prompt: str,
            *,
            image: Annotated[list[str] | None, typer.Option()] = None,
            size: SizeOptions,
            run: RunOptions,
            output: Annotated[Path, typer.Option("--output", "-o")] = Path("clip.mp4"),
        ) -> Clip:
            sizes = fitted(ClipConfig, size.fields())
            config = ClipConfig(prompt=prompt, seed=int(run.seed), **sizes)
            files: Any = ModelFiles(None, None, None)
            runner: Any = Runner()
            return Clip(files, runner, config, output, run.enhance_prompt)

        return paint

    @property
    def wanted(self) -> list[tuple[str, int, str]]:
        return [(clip.config.prompt, clip.config.seed, str(clip.output)) for clip in self.made]

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


class Runner:
    """A pipeline without networks."""

    models = None


@pytest.fixture
def paint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    studio = Studio(tmp_path)
    monkeypatch.setattr(clips, "make_clip", studio.make)
    return studio


def test_the_names_are_those_of_the_options() -> None:
    assert set(vars(SessionOptions())) == set(NAMES)


def test_one_clip(paint: Studio) -> None:
    paint("a red ball")
    assert paint.wanted == [("a red ball", 10, "clip.mp4")]


def test_seeds_and_repeats(paint: Studio) -> None:
    paint("a ball", "--seed", "3\0007", "-o", "x.mp4")
    paint("a ball", "--seed", 3, "--repeat", 2)
    assert paint.wanted == [
        ("a ball", 3, "x-seed3.mp4"),
        ("a ball", 7, "x-seed7.mp4"),
        ("a ball", 3, "clip-seed3.mp4"),
        ("a ball", 4, "clip-seed4.mp4"),
    ]
    with pytest.raises(ConfigError, match="--repeat counts up from one --seed"):
        paint("a ball", "--seed", "3\0007", "--repeat", 2)
    with pytest.raises(ConfigError, match="--seed x: give whole numbers"):
        paint("a ball", "--seed", "x")
    with pytest.raises(ConfigError, match="seed 3 and seed 3 are both to be written to clip-seed3"):
        paint("a ball", "--seed", "3\0003")


def test_a_batch_needs_no_prompt_on_the_command_line(paint: Studio) -> None:
    lines = [
        "a ball",
        '{"prompt": "a cube", "seed": [1, 2], "height": 64}',
        '{"prompt": "c", "output": "own.mp4"}',
    ]
    paint("--batch", paint.file("batch", "\n".join(lines)), "--seed", 5, "--height", 128)
    assert paint.wanted == [
        ("a ball", 5, "clip-001.mp4"),
        ("a cube", 1, "clip-002-seed1.mp4"),
        ("a cube", 2, "clip-002-seed2.mp4"),
        ("c", 5, "own.mp4"),
    ]
    assert [clip.config.height for clip in paint.made] == [128, 64, 64, 128]
    assert paint.said[0] == "clip 1 of 4"


def test_a_batch_that_cannot_be_made_is_found_before_anything_is(paint: Studio) -> None:
    for line, message in (
        ('{"prompt": "c", "heigth": 3}', "batch, line 2: 'heigth' is no setting of ltx paint"),
        ('{"prompt": "c", "frame_rate": 0}', "batch, line 2: frame_rate"),
        ('{"prompt": "c", "batch": "d"}', "'batch' is no setting"),
        ('{"prompt": "c", "output": "clip-001.mp4"}', "batch, line 1 and batch, line 2 are both"),
    ):
        with pytest.raises(ConfigError, match=message):
            paint("--batch", paint.file("batch", f"a ball\n{line}"))
    assert not paint.made


def test_one_of_many_may_fail(paint: Studio) -> None:
    paint.failing = "cube"
    with pytest.raises(LTXError, match="1 of 3 clips failed: clip-002"):
        paint("--batch", paint.file("batch", "a ball\na cube\na star"))
    assert [prompt for prompt, _, _ in paint.wanted] == ["a ball", "a star"]
    assert "clip-002.mp4 failed: it fell over" in paint.said
    with pytest.raises(LTXError, match="it fell over"):
        paint("a cube")


def test_settings_from_a_file_give_way_to_the_command_line(paint: Studio) -> None:
    file = paint.file("a.toml", 'prompt = "a ball"\nseed = 4\nnum-frames = 17\nheight = 64')
    paint("--config", file)
    paint("a cube", "--config", file, "--height", 96)
    assert [prompt for prompt, _, _ in paint.wanted] == ["a ball", "a cube"]
    assert [(clip.config.seed, clip.config.num_frames, clip.config.height) for clip in paint.made] == [
        (4, 17, 64),
        (4, 17, 96),
    ]
    with pytest.raises(ConfigError, match="'repeat' is no setting of ltx paint"):
        paint("--config", paint.file("b.toml", 'prompt = "a"\nrepeat = 2'))


def test_settings_from_a_clip(paint: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    paint("a ball", "--image", "a.png\0003", "--seed", 3, "--height", 70, "--enhance-prompt")
    first = paint.made[0]
    record = json.loads(json.dumps(first.record(first.config)))
    assert record["command"]["name"] == "paint"
    assert {"output", "enhance_prompt", *NAMES}.isdisjoint(record["command"]["options"])
    monkeypatch.setattr(again, "read_settings", lambda path: {"pipeline": "p", **record})
    monkeypatch.setattr(clips, "compare", lambda path, clip: ["it may differ"])
    paint("--from-video", "first.mp4", "--width", 64)
    second = paint.made[1]
    assert (second.config.prompt, second.config.seed, second.config.height) == ("a ball", 3, 64)
    # What the first clip took from defaults is in its record, too.
    assert (second.config.width, second.config.num_frames) == (64, 121)
    assert second.command["options"]["image"] == [["a.png", "3"]]
    assert paint.said[-1] == "it may differ"
    config = paint.file("a.toml", "seed = 8")
    for order in (
        ("--config", config, "--from-video", "f.mp4"),
        ("--from-video", "f.mp4", "--config", config),
    ):
        paint(*order)
        assert paint.made[-1].config.seed == 8


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "was not made by this command; `ltx info clip.mp4` shows"),
        (
            {"command": {"name": "retake", "options": {}}},
            "was made by ltx retake; use ltx retake --from-video",
        ),
    ],
)
def test_clips_of_other_commands(
    paint: Studio, monkeypatch: pytest.MonkeyPatch, record: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(again, "read_settings", lambda path: record)
    with pytest.raises(ConfigError, match=message):
        paint("--from-video", "clip.mp4")


def test_a_clip_that_is_none(paint: Studio) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        paint("--from-video", "none.mp4")


def test_rounding_is_told_and_strict_refuses_it(paint: Studio) -> None:
    paint("a ball", "--height", 70, "--num-frames", 120)
    assert paint.made[0].config.height == 64
    assert paint.said[-2:] == [
        "--height 70 becomes 64: the model makes multiples of 32",
        "--num-frames 120 becomes 121: the model makes 8 k + 1",
    ]
    with pytest.raises(ConfigError, match="--height 70 cannot be made"):
        paint("a ball", "--height", 70, "--strict")


def test_what_is_recorded_of_a_prompt_that_was_written_out(paint: Studio) -> None:
    paint("a ball", "--enhance-prompt")
    (clip,) = paint.made
    written = ClipConfig(prompt="A red ball.", user_prompt="a ball")
    assert clip.record(written)["command"]["options"]["prompt"] == "A red ball."
