"""Text from Gemma, against a run of the whole sequence at every step."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_models.text_encoder import GemmaConfig, GemmaGenerator, GemmaTextModel, Sampler, generate, greedy
from mlx.utils import tree_map

CONFIG: dict[str, Any] = {
    "model_type": "gemma3_text",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 30,
    "query_pre_attn_scalar": 8,
    "sliding_window": 4,
    "sliding_window_pattern": 3,
}


@pytest.fixture(scope="module")
def gemma() -> GemmaTextModel:
    model = GemmaTextModel(GemmaConfig.from_config(CONFIG))
    rng = np.random.default_rng(0)
    model.update(
        tree_map(lambda p: mx.array(rng.normal(0, 0.5, p.shape).astype(np.float32)), model.parameters())
    )
    return model


def logits(gemma: GemmaTextModel, ids: list[int]) -> np.ndarray:
    """What may follow, without a cache."""
    last = gemma(mx.array([ids]))[-1][0, -1]
    return np.array(last @ gemma.embed_tokens.weight.T)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 29), min_size=1, max_size=9), st.lists(st.integers(0, 29), max_size=6))
def test_reading_on_is_reading_all(gemma: GemmaTextModel, prompt: list[int], more: list[int]) -> None:
    """Also beyond the sliding window, which is 4 tokens."""
    generator = GemmaGenerator(gemma)
    np.testing.assert_allclose(generator.read(prompt), logits(gemma, prompt), atol=1e-4)
    for index, token in enumerate(more, 1):
        wanted = logits(gemma, prompt + more[:index])
        np.testing.assert_allclose(generator.read([token]), wanted, atol=1e-4)


def test_greedy_text(gemma: GemmaTextModel) -> None:
    ids = [3, 1, 4]
    for _ in range(8):
        ids.append(int(logits(gemma, ids).argmax()))
    made = list(generate(gemma, [3, 1, 4], max_new_tokens=8, stop=()))
    assert made == ids[3:]
    stop = made[4]
    assert list(generate(gemma, [3, 1, 4], max_new_tokens=8, stop={stop})) == made[: made.index(stop)]
    assert list(generate(gemma, [3, 1, 4], max_new_tokens=0, stop=())) == []


def test_draws_come_from_the_seed(gemma: GemmaTextModel) -> None:
    def made(seed: int, temperature: float = 1.0) -> list[int]:
        return list(generate(gemma, [5], max_new_tokens=12, stop=(), choose=Sampler(temperature, seed)))

    assert made(1) == made(1) != made(2)
    assert made(1, 1e-6) == list(generate(gemma, [5], max_new_tokens=12, stop=(), choose=greedy))


def test_draws_follow_the_probabilities() -> None:
    wanted = np.array([0.6, 0.3, 0.1])
    sampler = Sampler(0.5, 0)
    counts = np.bincount([sampler(mx.array(np.log(wanted) * 0.5)) for _ in range(2000)], minlength=3)
    assert np.abs(counts / 2000 - wanted).max() < 0.04


def test_a_broken_model_says_nothing(gemma: GemmaTextModel) -> None:
    broken = GemmaTextModel(gemma.config)
    broken.update(tree_map(lambda p: mx.full(p.shape, mx.nan), broken.parameters()))
    assert list(generate(broken, [1, 2], max_new_tokens=4, stop=())) == []
