"""Calls of a step that have blocks in common compute them once, and nothing else changes."""

from dataclasses import replace
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.perturbations import (
    BatchedPerturbationConfig,
    Perturbation,
    PerturbationConfig,
    PerturbationType,
)
from ltx_core.types import Modality
from ltx_models.transformer import LTXModel, LTXModelConfig
from ltx_models.transformer.shared_blocks import first_perturbed
from ltx_models.transformer.transformer import BasicAVTransformerBlock
from mlx.utils import tree_map

SECTION: dict[str, Any] = {
    "num_layers": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "in_channels": 3,
    "out_channels": 3,
    "cross_attention_dim": 16,
    "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 4,
    "audio_in_channels": 5,
    "audio_out_channels": 5,
    "audio_cross_attention_dim": 8,
    "caption_channels": 6,
}
SKIP = PerturbationType.SKIP_VIDEO_SELF_ATTN


def normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


@pytest.fixture(scope="module")
def model() -> LTXModel:
    model = LTXModel(LTXModelConfig.from_config(SECTION))
    model.update(tree_map(lambda value: 0.3 * normal(value.size, *value.shape), model.parameters()))
    return model


def modality(channels: int, axes: int, seed: int) -> Modality:
    start = mx.abs(normal(seed, 1, axes, 5, 1))
    return Modality(
        latent=normal(seed + 1, 1, 5, channels),
        sigma=mx.array([0.7]),
        timesteps=mx.full((1, 5, 1), 0.7),
        positions=mx.concatenate([start, start + 0.5], axis=-1),
        context=normal(seed + 2, 1, 3, 6),
    )


def again(stream: Modality, **changes: Any) -> Modality:
    """As guidance makes it for another pass: levels are new arrays."""
    return replace(stream, sigma=stream.sigma + 0, timesteps=stream.timesteps + 0, **changes)


def skipping(*blocks: int) -> BatchedPerturbationConfig:
    return BatchedPerturbationConfig([PerturbationConfig([Perturbation(SKIP, list(blocks))])])


def test_second_pass_begins_where_it_differs(model: LTXModel, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    block = BasicAVTransformerBlock.__call__
    monkeypatch.setattr(
        BasicAVTransformerBlock, "__call__", lambda *a, **k: (computed.append(a[4]), block(*a, **k))[1]
    )
    cache = model.make_cache()
    text = normal(9, 1, 3, 6)
    counts = []
    for step in range(3):
        video, audio = modality(3, 3, 10 * step), modality(5, 1, 10 * step + 5)
        other = again(video, context=text)
        for inputs, perturbations in (
            ((video, audio), None),
            ((other, again(audio)), None),
            ((again(video), again(audio)), skipping(2)),
            ((other, again(audio)), skipping(2)),
            ((again(video), again(audio)), skipping(1, 3)),
            ((again(video), again(audio)), skipping(0)),
        ):
            computed.clear()
            got = model(*inputs, perturbations, cache=cache)
            counts.append(len(computed))
            for left, right in zip(got, model(*inputs, perturbations), strict=True):
                np.testing.assert_array_equal(left, right)
    assert counts == [4] * 6 + [4, 4, 2, 4, 3, 4] * 2


@pytest.mark.parametrize("field", ["latent", "positions", "context", "timesteps", "sigma", "enabled"])
def test_any_other_input_is_computed(model: LTXModel, field: str) -> None:
    cache = model.make_cache()
    video, audio = modality(3, 3, 0), modality(5, 1, 5)
    model(video, audio, skipping(2), cache=cache)
    video = replace(video, latent=video.latent + 1)
    model(video, audio, cache=cache)
    changed = replace(video, **{field: False if field == "enabled" else getattr(video, field) * 0.5})
    got = model(changed, audio, skipping(2), cache=cache)
    for left, right in zip(got, model(changed, audio, skipping(2)), strict=True):
        np.testing.assert_array_equal(left, right)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.none() | st.lists(st.integers(0, 9), max_size=3), max_size=3), max_size=3))
def test_first_perturbed(samples: list[list[list[int] | None]]) -> None:
    batch = BatchedPerturbationConfig(
        [PerturbationConfig([Perturbation(SKIP, blocks) for blocks in sample]) for sample in samples]
    )
    skipped = [block for block in range(10) if batch.any_in_batch(SKIP, block)]
    assert first_perturbed(batch) == (skipped[0] if skipped else None)
