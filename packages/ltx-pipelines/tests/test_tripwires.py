"""Broken signals are named, with the stage and what to try; sound ones pass."""

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_pipelines import BrokenSignalError
from ltx_pipelines.tripwires import check_signal


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=30),
    st.integers(0, 29),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    st.sampled_from([mx.float32, mx.bfloat16]),
)
def test_one_bad_value_is_found(values: list[float], index: int, bad: float, dtype: mx.Dtype) -> None:
    values[index % len(values)] = bad
    with pytest.raises(BrokenSignalError, match=rf"stage 1: 1 of {len(values)} values of the video latent"):
        check_signal("stage 1", "video latent", mx.array(values).astype(dtype))


@given(st.floats(-10, 10, width=32), st.integers(2, 9))
def test_a_constant_is_a_collapse_unless_it_may_be_one(value: float, count: int) -> None:
    array = mx.full((count,), value)
    with pytest.raises(BrokenSignalError, match="has collapsed to"):
        check_signal("encode prompt", "video context", array)
    check_signal("decode video", "first frames", array, may_be_constant=True)


@given(st.lists(st.floats(-10, 10, width=32), min_size=2, unique=True))
def test_sound_signals_pass(values: list[float]) -> None:
    check_signal("stage 2", "audio latent", mx.array(values))


@pytest.mark.parametrize("stage", ["encode prompt", "stage 1", "denoise", "decode video", "decode audio"])
def test_every_stage_says_what_to_try(stage: str) -> None:
    with pytest.raises(BrokenSignalError, match=r"(check|try|get|decode with)"):
        check_signal(stage, "x", mx.array([1.0, mx.nan]))
