"""Items: names, choices, sizes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_bench.clips import Clip, latent_states, token_counts
from ltx_bench.configs import VERSIONS, load_config
from ltx_bench.items import SIZES, choose, list_items
from ltx_bench.works import WORKS
from ltx_pipelines.layout import layout_of


@pytest.mark.parametrize("scale", SIZES)
def test_names_are_unique_and_every_kind_has_a_work(scale: str) -> None:
    items = list_items(scale)
    names = [item.name for item in items]
    assert len(set(names)) == len(names)
    assert {item.kind for item in items} == set(WORKS)


def test_what_the_issue_asks_for_is_there() -> None:
    names = {item.name for item in list_items()}
    for version in VERSIONS:
        for clip in ("768x512x121", "1280x704x121", "1536x1024x121"):
            assert f"transformer/{version}/{clip}" in names
        for kind in ("video-decode", "video-encode", "distilled", "guided"):
            assert any(name.startswith(f"{kind}/{version}/768x512x121") for name in names)
    assert {"transformer/2.0/768x512x121/b2", "transformer/2.0/768x512x121/q4", "gemma/2.0/1024"} <= names
    counts = {
        token_counts(load_config("2.0"), item.clip)[0]
        for item in list_items()
        if (item.kind, item.version, item.variant) == ("transformer", "2.0", "")
    }
    assert counts == {3072, 6144, 14080, 24576, 38400, 50688}
    frames = {item.clip.frames for item in list_items() if item.kind == "video-decode"}
    assert {25, 257} <= frames


def test_patterns_choose_in_their_order() -> None:
    items = list_items("tiny")
    assert list(choose(items, [])) == items
    chosen = [item.name for item in choose(items, ["vocoder/*", "gemma/*", "vocoder/2.0/*"])]
    assert chosen == ["vocoder/2.0/9", "vocoder/2.3/9", "gemma/2.0/128"]
    assert not list(choose(items, ["nothing"]))


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 4000))
@settings(max_examples=30, deadline=None)
def test_clips_are_read_as_they_are_written(width: int, height: int, frames: int) -> None:
    clip = Clip(width, height, frames)
    assert Clip.parse(str(clip)) == clip


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 4), st.sampled_from(VERSIONS))
@settings(max_examples=20, deadline=None)
def test_states_have_the_tokens_that_are_counted(width: int, height: int, blocks: int, version: str) -> None:
    config, clip = load_config(version, "tiny"), Clip(32 * width, 32 * height, 8 * blocks + 1)
    states = latent_states(config, clip, batch=2)
    assert tuple(state.latent.shape[1] for state in states) == token_counts(config, clip)
    assert states[0].latent.shape[2] == config["transformer"]["in_channels"]
    assert states[1].latent.shape[2] == layout_of(config).audio_channels * layout_of(config).audio_bins
