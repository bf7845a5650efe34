"""Settings outside the command line come back as they were."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ltx_cli.joined import SEPARATOR
from ltx_cli.records import arguments_of, read_batch, read_config, settings_of
from ltx_core import ConfigError
from typer.testing import CliRunner

PLAIN = st.text(st.characters(codec="utf-8", exclude_characters=SEPARATOR), min_size=1)


def context(tmp_path: Path) -> typer.Context:
    """Of a command with an option of every kind."""
    app, found = typer.Typer(), []

    @app.command()
    def shout(
        context: typer.Context,
        words: str,
        image: Annotated[list[str] | None, typer.Option()] = None,
        seed: str = "10",
        height: int | None = None,
        scale: float | None = None,
        silent: Annotated[bool, typer.Option("--silent")] = False,
        output: Path = Path("clip.mp4"),
    ) -> None:
        found.append(context)

    assert CliRunner().invoke(app, ["hey"]).exit_code == 0
    return found[0]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=PLAIN,
    image=st.lists(st.lists(PLAIN, min_size=1, max_size=3).map(SEPARATOR.join), max_size=3),
    seed=st.lists(st.integers(0, 99).map(str), min_size=1, max_size=3).map(SEPARATOR.join),
    height=st.none() | st.integers(),
    scale=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    silent=st.booleans(),
    output=PLAIN.map(Path),
)
def test_values_survive_a_record(tmp_path: Path, **values: Any) -> None:
    here = context(tmp_path)
    plain = json.loads(json.dumps(settings_of(values)))
    arguments = arguments_of(here, plain, "a clip", ())
    parameters = {parameter.name: parameter for parameter in here.command.params}
    back = {name: parameters[name].process_value(here, value) for name, value in arguments.items()}
    assert back == {name: value for name, value in values.items() if value not in (None, False, [])}


@pytest.mark.parametrize(
    ("written", "want"),
    [
        ("words = 'a, b'", {"words": "a, b"}),
        ("height = 64\nscale = 0.5", {"height": "64", "scale": "0.5"}),
        ("image = 'a.png'", {"image": ["a.png"]}),
        ("image = ['a.png', 3, 0.5]", {"image": ["a.png\0003\0000.5"]}),
        ("image = ['a.png', 'b.png']", {"image": ["a.png", "b.png"]}),
        ("image = [['a.png', 3], 'b.png']", {"image": ["a.png\0003", "b.png"]}),
        ("seed = [1, 2]", {"seed": "1\0002"}),
        ("silent = true", {"silent": True}),
    ],
)
def test_what_is_written_in_toml(tmp_path: Path, written: str, want: dict[str, Any]) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(written)
    assert arguments_of(context(tmp_path), read_config(file), str(file), ()) == want


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"heigth": 3}, "a.toml: 'heigth' is no setting of ltx .*there are height, image"),
        ({"help": True}, "'help' is no setting"),
        ({"output": "x.mp4"}, "'output' is no setting"),
        ({"silent": "yes"}, "a.toml: silent is 'yes'; it is true or false"),
        ({"height": {"a": 1}}, "height is {'a': 1}; it is a text, a number"),
        ({"image": []}, None),
        ({"words": []}, r"words is \[\]"),
    ],
)
def test_what_is_no_setting(tmp_path: Path, given: dict[str, Any], message: str | None) -> None:
    here = context(tmp_path)
    if message is None:
        assert arguments_of(here, given, "a.toml", ("output",)) == {"image": []}
        return
    with pytest.raises(ConfigError, match=message):
        arguments_of(here, given, "a.toml", ("output",))


def test_a_batch_is_prompts_and_objects(tmp_path: Path) -> None:
    file = tmp_path / "batch.txt"
    file.write_text('a ball\n\n# not this\n  {"prompt": "b", "seed": 3}\n')
    assert read_batch(file) == [
        ("batch.txt, line 1", {"prompt": "a ball"}),
        ("batch.txt, line 4", {"prompt": "b", "seed": 3}),
    ]


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    file = tmp_path / "a"
    for text, read, message in (
        ("", read_batch, "asks for no clip"),
        ("x\n{broken", read_batch, "a, line 2 is no JSON object"),
        ("= 3", read_config, "is no TOML file"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=message):
            read(file)
    file.write_bytes(b"\xff\xfe")
    for read in (read_batch, read_config):
        with pytest.raises(ConfigError, match="no text in UTF-8"):
            read(file)
        with pytest.raises(ConfigError, match="none cannot be read: No such file"):
            read(tmp_path / "none")
