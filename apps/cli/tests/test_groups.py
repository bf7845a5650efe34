"""Groups of options: one option of a command for each field of an argument."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from ltx_cli.groups import OptionGroup, Without, flags, grouped_options
from ltx_cli.main import load
from ltx_cli.models import ModelFiles, ModelOptions
from ltx_cli.options import RunOptions, SizeOptions
from ltx_cli.session import SessionOptions
from typer.main import get_command
from typer.testing import CliRunner


@dataclass(frozen=True)
class Voice(OptionGroup):
    panel = "Voice"
    pitch: Annotated[float | None, typer.Option(help="In Hertz.")] = None
    whisper: Annotated[bool, typer.Option("--whisper", "-w", help="Quietly.")] = False


@dataclass(frozen=True)
class Place(OptionGroup):
    panel = "Place"
    room: Annotated[str, typer.Option(help="Where.")] = "hall"
    floor_number: Annotated[int, typer.Option(help="How high.")] = 0


class Called:
    """A command that keeps what it was called with."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def command(self) -> Callable[..., None]:
        @grouped_options
        def shout(
            word: str,
            *,
            voice: Voice,
            place: Annotated[Place, Without("room")],
            times: Annotated[int, typer.Option(help="How often.")] = 2,
        ) -> None:
            """Help of it."""
            self.seen.append((word, voice, place, times))

        return shout


def invoke(command: Callable[..., None], *arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"})


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ([], ("hey", Voice(), Place(), 2)),
        (["--pitch", "440", "--times", "3"], ("hey", Voice(pitch=440.0), Place(), 3)),
        (["-w", "--floor-number", "-1"], ("hey", Voice(whisper=True), Place(floor_number=-1), 2)),
    ],
)
def test_options_come_back_as_their_groups(given: list[str], want: tuple[Any, ...]) -> None:
    called = Called()
    assert invoke(called.command(), "hey", *given).exit_code == 0
    assert called.seen == [want]


def test_the_signature_has_one_parameter_for_each_option() -> None:
    shout = Called().command()
    assert list(inspect.signature(shout).parameters) == ["word", "pitch", "whisper", "floor_number", "times"]
    assert shout.__name__ == "shout"


def test_options_left_out_are_unknown() -> None:
    called = Called()
    assert invoke(called.command(), "hey", "--room", "cellar").exit_code != 0
    assert called.seen == []


def test_the_help_has_a_heading_for_each_group() -> None:
    text = re.sub(r"\x1b\[[\d;]*m", "", invoke(Called().command(), "--help").output)
    assert "Help of it." in text
    headings = re.findall(r"─ (\w+) ─", text)
    assert headings == ["Arguments", "Options", "Voice", "Place"]
    by_heading = dict(zip(headings, re.split(r"─ \w+ ─", text)[1:], strict=True))
    assert "--times" in by_heading["Options"]
    assert "--pitch" in by_heading["Voice"]
    assert "--whisper" in by_heading["Voice"]
    assert "--floor-number" in by_heading["Place"]


def test_a_group_serves_commands_with_other_headings_and_fields() -> None:
    """Expanding it changes nothing in the group itself."""

    @grouped_options
    def other(place: Place) -> None:
        pass

    first = get_command(_app(Called().command())).params
    assert "room" in [parameter.name for parameter in get_command(_app(other)).params]
    assert "room" not in [parameter.name for parameter in first]


def _app(command: Callable[..., None]) -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app


def test_flags() -> None:
    assert flags("floor_number", "room") == "--floor-number, --room"


def test_model_options_name_model_files(tmp_path: Any) -> None:
    options = ModelOptions(
        checkpoint=tmp_path / "c",
        gemma=tmp_path / "g",
        distilled_lora="d\0000.5",
        lora=["a", "b\0002"],
        dtype="float32",
    )
    files = options.files()
    assert (files.checkpoint, files.gemma) == (tmp_path / "c", tmp_path / "g")
    assert files.distilled_lora is not None
    assert files.distilled_lora.strength == 0.5
    assert [(str(lora.path), lora.strength) for lora in files.loras] == [("a", 1), ("b", 2)]
    assert files.dtype == "float32"
    assert ModelOptions().files() == ModelFiles(None, None, None)


def test_size_and_run_options_are_arguments_of_a_config() -> None:
    assert SizeOptions().fields() == {}
    assert SizeOptions(height=64, frame_rate=12.5).fields() == {"height": 64, "frame_rate": 12.5}
    assert RunOptions(steps=3).fields() == {"num_inference_steps": 3, "seed": 10}


def test_the_commands_list_the_options_of_their_groups() -> None:
    names = ("generate", "keyframes", "ic-lora", "audio-to-video", "retake", "extend", "audio")
    options = {name: {parameter.name for parameter in load(name).params} for name in names}
    session = set(vars(SessionOptions()))
    model = set(vars(ModelOptions()))
    run = set(vars(RunOptions()))
    for name in ("generate", "keyframes", "ic-lora", "audio-to-video"):
        assert model | run | session | set(vars(SizeOptions())) <= options[name]
    for name in ("retake", "extend"):
        assert model - {"spatial_upscaler"} | run | session | set(vars(SizeOptions())) <= options[name]
        assert "spatial_upscaler" not in options[name]
    assert model - {"spatial_upscaler", "distilled_lora"} | run | {"output"} <= options["audio"]
    assert not {"spatial_upscaler", "distilled_lora", "height", "no_audio"} & options["audio"]
    assert "no_audio" not in options["audio-to-video"]
    assert session - options["audio"] == {"preview"}
