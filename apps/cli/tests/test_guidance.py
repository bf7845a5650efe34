"""Guidance options: one for each parameter of each stream, all in one argument of a command."""

import inspect
import re
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from ltx_cli.arguments import join_values, parse_numbers
from ltx_cli.guidance import GuidanceOptions, guided_options
from ltx_core import ConfigError
from ltx_pipelines import GuidanceChange
from typer.testing import CliRunner


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_block_numbers_come_back(blocks: list[int]) -> None:
    joined = join_values(["--stg-blocks", *map(str, blocks), "a prompt", "--seed", "3"])
    assert joined[2:] == ["a prompt", "--seed", "3"]
    assert parse_numbers("--stg-blocks", joined[1]) == blocks


@pytest.mark.parametrize("value", ["x", "-1", "1.5"])
def test_other_block_numbers(value: str) -> None:
    with pytest.raises(ConfigError, match=r"--stg-blocks .*give block numbers"):
        parse_numbers("--stg-blocks", join_values(["--stg-blocks", value])[1])


def test_what_was_given_becomes_a_change_of_its_stream() -> None:
    assert GuidanceOptions().fields() == {}
    options = GuidanceOptions(
        negative_prompt="fog",
        cfg_scale=4.0,
        stg_scale=0.5,
        audio_stg_scale=0.0,
        audio_stg_blocks="3\0005",
        modality_scale=2.0,
        skip_step=1,
    )
    assert options.fields() == {
        "negative_prompt": "fog",
        "cfg_scale": 4.0,
        "stg_scale": 0.5,
        "video_guidance": GuidanceChange(modality_scale=2.0, skip_step=1),
        "audio_guidance": GuidanceChange(stg_scale=0.0, stg_blocks=[3, 5]),
    }


def test_options_without_effect_are_refused() -> None:
    options = GuidanceOptions(cfg_scale=1.0, audio_skip_step=0)
    options.refuse("this", but=("cfg_scale", "audio_skip_step"))
    with pytest.raises(ConfigError, match="--audio-skip-step cannot be used with this"):
        options.refuse("this", but=("cfg_scale",))


def test_a_command_has_one_option_for_each() -> None:
    seen: list[Any] = []

    @guided_options
    def shout(word: str, *, guidance: GuidanceOptions, times: int = 2) -> None:
        """Help of it."""
        seen.append((word, guidance, times))

    names = list(inspect.signature(shout).parameters)
    assert names[0] == "word"
    assert names[-1] == "times"
    assert names[1:-1] == list(vars(GuidanceOptions()))
    app = typer.Typer()
    app.command()(shout)
    runner = CliRunner()
    assert runner.invoke(app, ["hey", "--times", "3", "--audio-rescale-scale", "0.25"]).exit_code == 0
    assert seen == [("hey", GuidanceOptions(audio_rescale_scale=0.25), 3)]
    help_text = re.sub(r"\x1b\[[\d;]*m", "", runner.invoke(app, ["--help"]).output)
    assert "Help of it." in help_text
    assert "--audio-stg-blocks" in help_text
