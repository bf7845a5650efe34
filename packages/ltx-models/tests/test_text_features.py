"""Feature extractors against their formulas in numpy."""

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ltx_core.errors import ShapeError
from ltx_models.text_encoder import FeatureExtractorV1, FeatureExtractorV2, feature_extractor

sizes = st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 6), st.integers(1, 4))


def random_states(size: tuple[int, int, int, int], seed: int) -> np.ndarray:
    """Hidden states (B, T, D, L) whose layers differ in scale and offset."""
    rng = np.random.default_rng(seed)
    layers = size[3]
    return rng.standard_normal(size) * rng.uniform(0.5, 20, layers) + rng.uniform(-3, 3, layers)


def as_list(states: np.ndarray) -> list[mx.array]:
    return [mx.array(states[..., layer].astype(np.float32)) for layer in range(states.shape[-1])]


def close(got: mx.array, want: np.ndarray) -> bool:
    return bool(np.linalg.norm(np.array(got) - want) <= 1e-5 * np.linalg.norm(want) + 1e-6)


@settings(max_examples=40, deadline=None)
@given(size=sizes, seed=st.integers(0, 2**16), chunk=st.integers(1, 10))
def test_v1_is_its_formula(size: tuple[int, int, int, int], seed: int, chunk: int) -> None:
    batch, length, dim, layers = size
    assume(length * dim > 1)  # a single value is its own mean: rounding, magnified by 1 / 1e-6
    states = random_states(size, seed)
    extractor = FeatureExtractorV1(dim, layers)
    mean = states.sum((1, 2), keepdims=True) / (length * dim + 1e-6)
    spread = states.max((1, 2), keepdims=True) - states.min((1, 2), keepdims=True)
    normed = 8 * (states - mean) / (spread + 1e-6)
    want = normed.reshape(batch, length, dim * layers) @ np.array(extractor.aggregate_embed.weight).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_extractor, "TOKENS_AT_ONCE", chunk)
        video, audio = extractor(as_list(states))
    assert close(video, want)
    assert mx.array_equal(video, audio)


@settings(max_examples=40, deadline=None)
@given(
    size=sizes,
    seed=st.integers(0, 2**16),
    chunk=st.integers(1, 10),
    widths=st.tuples(st.integers(1, 8), st.integers(1, 8)),
)
def test_v2_is_its_formula(
    size: tuple[int, int, int, int], seed: int, chunk: int, widths: tuple[int, int]
) -> None:
    states = random_states(size, seed)
    batch, length, dim, layers = size
    extractor = FeatureExtractorV2(dim, layers, *widths)
    normed = states / np.sqrt((states**2).mean(2, keepdims=True) + 1e-6)
    flat = normed.reshape(batch, length, dim * layers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_extractor, "TOKENS_AT_ONCE", chunk)
        features = extractor(as_list(states))
    linears = (extractor.video_aggregate_embed, extractor.audio_aggregate_embed)
    for got, linear, width in zip(features, linears, widths, strict=True):
        assert close(got, flat * np.sqrt(width / dim) @ np.array(linear.weight).T + np.array(linear.bias))


def test_v1_statistics_are_of_each_sample() -> None:
    states = random_states((2, 5, 4, 3), 0)
    states[1] *= 100
    extractor = FeatureExtractorV1(4, 3)
    together = extractor(as_list(states))[0]
    for row in range(2):
        assert mx.allclose(together[row], extractor(as_list(states[row : row + 1]))[0][0], atol=1e-5)


def test_v1_forgets_scale_and_offset_of_a_layer() -> None:
    states = random_states((1, 6, 4, 3), 1)
    extractor = FeatureExtractorV1(4, 3)
    changed = states * np.array([1.0, 7.0, 0.3]) + np.array([0.0, 5.0, -2.0])
    got, want = extractor(as_list(changed))[0], extractor(as_list(states))[0]
    assert mx.allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "states",
    [
        [mx.zeros((1, 3, 4))] * 2,
        [mx.zeros((1, 3, 5))] * 3,
        [mx.zeros((1, 3, 4)), mx.zeros((1, 3, 4)), mx.zeros((1, 2, 4))],
        [],
    ],
)
def test_wrong_hidden_states(states: list[mx.array]) -> None:
    for extractor in (FeatureExtractorV1(4, 3), FeatureExtractorV2(4, 3, 8, 2)):
        with pytest.raises(ShapeError, match="expected 3"):
            extractor(states)
