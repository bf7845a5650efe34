"""Rotary embedding, modulation, masks, attention and the cache, each alone."""

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ShapeError
from ltx_models.transformer import attention
from ltx_models.transformer.adaln import (
    AdaLayerNormSingle,
    DistinctTimesteps,
    Modulation,
    get_ada_values,
    get_timestep_embedding,
)
from ltx_models.transformer.attention import Attention
from ltx_models.transformer.cache import TransformerCache
from ltx_models.transformer.masks import prepare_attention_mask, prepare_self_attention_mask
from ltx_models.transformer.rope import (
    LTXRopeType,
    apply_rotary_emb,
    generate_freq_grid,
    precompute_freqs_cis,
)

few = settings(max_examples=20, deadline=None)


def normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def clip_positions(frames: int, height: int, width: int, fps: float) -> mx.array:
    """(1, 3, T, 2) of the latent tokens of a clip."""
    tokens = []
    for i in range(frames):
        time = [max(0, 8 * i - 7) / fps, max(0, 8 * i + 1) / fps]
        for j in range(height):
            tokens += [[time, [32 * j, 32 * j + 32], [32 * k, 32 * k + 32]] for k in range(width)]
    return mx.array(np.array(tokens, np.float32).transpose(1, 0, 2)[None])


def test_frequency_grid_matches_the_reference() -> None:
    video, audio = generate_freq_grid(10000.0, 3, 4096), generate_freq_grid(10000.0, 1, 2048)
    assert (video.shape, audio.shape, video.dtype) == ((682,), (1024,), np.float32)
    np.testing.assert_array_equal(video[:3], np.float32([1.57079637, 1.59218526, 1.61386538]))
    np.testing.assert_array_equal(video[-2:], np.float32([15496.9473, 15707.9629]))
    np.testing.assert_array_equal(
        audio[[0, 1, -2, -1]], np.float32([1.57079637, 1.58500242, 15567.1748, 15707.9629])
    )


def test_a_grid_of_float32_is_close_to_the_exact_one() -> None:
    exact, single = (generate_freq_grid(10000.0, 3, 384, double) for double in (True, False))
    np.testing.assert_allclose(single, exact, rtol=1e-5)
    assert (single != exact).any()


def test_rope_table_matches_the_reference() -> None:
    """512 x 768, 121 frames at 24 fps, the full-size network."""
    cos, sin = precompute_freqs_cis(clip_positions(16, 16, 24, 24.0), 4096)
    assert cos.shape == sin.shape == (1, 32, 6144, 64)
    near = {"atol": 2e-7, "rtol": 0}
    np.testing.assert_allclose(
        cos[0, 0, 0, :6], [1, 1, 0.00327248, 0.02454114, 0.02454114, -0.01807083], **near
    )
    np.testing.assert_allclose(
        sin[0, 0, 0, 2:6], [-0.99999464, -0.99969882, -0.99969882, -0.99983668], **near
    )
    np.testing.assert_allclose(cos[0, 0, 5000, 2:6], [0.61394078, 0.02454114, 0.40524128, 0.60411561], **near)
    np.testing.assert_allclose(cos[0, 31, 5000, -3:], [0.86631072, 0.92388922, 0.92373842], **near)


@few
@given(
    batch=st.integers(1, 3),
    axes=st.integers(1, 3),
    length=st.integers(1, 5),
    heads=st.sampled_from([1, 2, 4]),
    half=st.integers(2, 5),
    kind=st.sampled_from(LTXRopeType),
    seed=st.integers(0, 99),
)
def test_rotation_keeps_lengths_and_ignores_the_batch(
    batch: int, axes: int, length: int, heads: int, half: int, kind: LTXRopeType, seed: int
) -> None:
    dim = heads * 2 * half * axes
    positions = mx.abs(normal(seed, batch, axes, length))
    table = precompute_freqs_cis(positions, dim, max_pos=[20.0] * axes, num_attention_heads=heads)
    x = normal(seed + 1, batch, heads, length, dim // heads)
    rotated = apply_rotary_emb(x, table, kind)
    assert rotated.shape == x.shape
    np.testing.assert_allclose((rotated**2).sum(-1), (x**2).sum(-1), rtol=1e-4)
    for sample in range(batch):
        alone = precompute_freqs_cis(
            positions[sample : sample + 1], dim, max_pos=[20.0] * axes, num_attention_heads=heads
        )
        np.testing.assert_array_equal(
            apply_rotary_emb(x[sample : sample + 1], alone, kind)[0], rotated[sample]
        )


def test_equal_positions_share_one_table() -> None:
    positions = mx.repeat(clip_positions(2, 2, 2, 24.0), 3, axis=0)
    cos, _ = precompute_freqs_cis(positions, 32, num_attention_heads=4)
    assert cos.shape == (1, 4, 8, 4)


def test_scores_depend_on_relative_time_only() -> None:
    """The dot product of two rotated vectors stays the same when both move."""
    q, k = normal(0, 1, 2, 1, 8), normal(1, 1, 2, 1, 8)

    def score(start: float) -> float:
        tables = [
            precompute_freqs_cis(mx.array([[[start + offset]]]), 16, max_pos=[20], num_attention_heads=2)
            for offset in (0.0, 0.001)
        ]
        return (apply_rotary_emb(q, tables[0]) * apply_rotary_emb(k, tables[1])).sum().item()

    assert score(0.0) == pytest.approx(score(0.002), abs=0.02)


def test_rope_refuses_other_axes() -> None:
    with pytest.raises(ShapeError, match="expected"):
        precompute_freqs_cis(mx.zeros((1, 2, 4, 2)), 32, max_pos=[20])


def test_timestep_embedding_matches_the_reference() -> None:
    e = get_timestep_embedding(np.array([725], np.float32))
    assert e.shape == (1, 256)
    np.testing.assert_allclose(e[0, :3], [-0.759727, -0.712539, 0.880237], atol=5e-5)
    np.testing.assert_allclose(e[0, 128:131], [0.650242, 0.701633, -0.474534], atol=5e-5)


def test_distinct_timesteps() -> None:
    uniform = DistinctTimesteps.of(mx.array([[[0.5]] * 3, [[0.2]] * 3]))
    assert uniform.index is None
    np.testing.assert_array_equal(uniform.values, np.float32([0.5, 0.2]))
    mixed = DistinctTimesteps.of(mx.array([[0.5, 0.0, 0.5], [0.2, 0.2, 0.2]]))
    assert mixed.index is not None
    np.testing.assert_array_equal(mixed.values[np.array(mixed.index)], np.float32([[0.5, 0, 0.5], [0.2] * 3]))
    assert len(mixed.values) == 3


@few
@given(
    levels=st.lists(
        st.lists(st.sampled_from([0.0, 0.25, 0.9]), min_size=3, max_size=3), min_size=1, max_size=3
    )
)
def test_modulation_of_distinct_timesteps_is_that_of_every_token(levels: list[list[float]]) -> None:
    adaln = AdaLayerNormSingle(8, 6)
    timesteps, table = mx.array(levels), normal(3, 6, 8)
    modulation, _ = adaln(DistinctTimesteps.of(timesteps), 1000, mx.float32)
    rows = get_ada_values(table, modulation, slice(3, 6))
    flat, _ = adaln(DistinctTimesteps(np.array(timesteps).reshape(-1), None), 1000, mx.float32)
    for row, value in zip(range(3, 6), rows, strict=True):
        every = (flat.values[:, row] + table[row]).reshape(*timesteps.shape, 8)
        np.testing.assert_allclose(mx.broadcast_to(value, every.shape), every, atol=1e-5)


def test_modulation_spreads_over_tokens() -> None:
    values = mx.arange(4).reshape(2, 1, 2)
    assert Modulation(values, None).per_token(values).shape == (2, 1, 1, 2)
    per_token = Modulation(values, mx.array([[0, 1, 1]])).per_token(values[:, 0])
    np.testing.assert_array_equal(per_token, [[[0, 1], [2, 3], [2, 3]]])


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_masks_become_finite_biases(dtype: mx.Dtype) -> None:
    context = prepare_attention_mask(mx.array([[1, 0, 1]]), dtype)
    assert (context.shape, context.dtype) == ((1, 1, 1, 3), dtype)
    own = prepare_self_attention_mask(mx.array([[[1.0, 0.0, 0.5]]]), dtype)
    assert (own.shape, own.dtype) == ((1, 1, 1, 3), dtype)
    for bias in (context.astype(mx.float32), own.astype(mx.float32)):
        assert bias[..., 0].item() == 0
        assert bias[..., 1].item() < -1e38
        # Kernels that work in base 2 scale biases by log2(e).
        assert mx.isfinite(bias * 1.4427).all().item()
    assert own[..., 2].item() == pytest.approx(np.log(0.5), rel=1e-2)
    floats = mx.array([[[[0.0, -3.0]]]], dtype)
    np.testing.assert_array_equal(
        prepare_attention_mask(floats, dtype).astype(mx.float32), floats.astype(mx.float32)
    )


def test_a_row_that_is_masked_everywhere_stays_finite() -> None:
    attention = Attention(8, heads=2, dim_head=4)
    mask = prepare_attention_mask(mx.zeros((1, 3), mx.int32), mx.float32)
    assert mx.isfinite(attention(normal(0, 1, 3, 8), mask=mask)).all().item()


@few
@given(gated=st.booleans(), seed=st.integers(0, 99))
def test_masked_context_counts_for_nothing(gated: bool, seed: int) -> None:
    attention = Attention(8, 6, heads=2, dim_head=4, apply_gated_attention=gated)
    x, context = normal(seed, 2, 3, 8), normal(seed + 1, 2, 5, 6)
    mask = prepare_attention_mask(mx.array([[1, 1, 1, 0, 0]] * 2), mx.float32)
    np.testing.assert_allclose(
        attention(x, context=context, mask=mask), attention(x, context=context[:, :3]), atol=1e-5
    )


def test_perturbed_attention_passes_its_values_through() -> None:
    attention = Attention(8, heads=2, dim_head=4, apply_gated_attention=True)
    x = normal(0, 2, 3, 8)
    full, skipped = attention(x), attention(x, all_perturbed=True)
    mixed = attention(x, perturbation_mask=mx.array([1.0, 0.0]).reshape(2, 1, 1))
    np.testing.assert_allclose(mixed[0], full[0], atol=1e-6)
    np.testing.assert_allclose(mixed[1], skipped[1], atol=1e-6)
    gates = 2 * mx.sigmoid(attention.to_gate_logits(x))
    values = (attention.to_v(x).reshape(2, 3, 2, 4) * gates[..., None]).reshape(2, 3, 8)
    np.testing.assert_allclose(skipped, attention.to_out[0](values), atol=1e-6)


def test_cache_keys_by_identity_and_lets_go() -> None:
    cache = TransformerCache(entries_per_kind=2)
    calls: list[str] = []

    def compute(name: str) -> str:
        calls.append(name)
        return name

    a, b = mx.zeros(2), mx.zeros(2)
    for source, name in ((a, "a"), (b, "b"), (a, "a"), (b, "b")):
        assert cache.get("kind", source, lambda name=name: compute(name)) == name
    assert calls == ["a", "b"]
    assert cache.get("other kind", a, lambda: compute("other")) == "other"
    assert len(cache) == 3
    del source, a
    assert len(cache) == 1
    kept = [mx.zeros(2) for _ in range(3)]
    for array in kept:
        cache.get("kind", array, lambda: compute("new"))
    assert len(cache) == 2


@pytest.mark.parametrize("mask", [None, "rows", "one row"])
@pytest.mark.parametrize("limit", [1, 50, 97])
def test_attention_in_blocks_is_attention(
    mask: str | None, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few scores may exist at a time on a CPU."""
    queries, keys, values = (mx.random.normal((2, 3, 7, 4), key=mx.random.key(n)) for n in range(3))
    bias = None if mask is None else mx.random.normal((2, 1, 7 if mask == "rows" else 1, 7))
    whole = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=0.5, mask=bias)
    monkeypatch.setattr(attention, "MAX_CPU_SCORES", limit)
    np.testing.assert_allclose(attention.attend(queries, keys, values, 0.5, bias), whole, atol=1e-6)
