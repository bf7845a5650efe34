"""Guidance options: one for each parameter of each stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ltx_cli.arguments import parse_numbers
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.joined import join_values
from ltx_core import ConfigError
from ltx_pipelines import GuidanceChange


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_block_numbers_come_back(blocks: list[int]) -> None:
    joined = join_values(["--stg-blocks", *map(str, blocks), "a prompt", "--seed", "3"])
    assert joined[2:] == ["a prompt", "--seed", "3"]
    assert parse_numbers("--stg-blocks", joined[1]) == blocks


@pytest.mark.parametrize("value", ["x", "-1", "1.5"])
def test_other_block_numbers(value: str) -> None:
    with pytest.raises(ConfigError, match=r"--stg-blocks .*give whole numbers"):
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
