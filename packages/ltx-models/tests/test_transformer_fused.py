"""The passes between matrix products: with kernels in their place that follow the kernels' descriptions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
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
from ltx_models.transformer import LTXModel, LTXModelConfig, cuda_kernels, fused
from ltx_models.transformer.adaln import AdaValues, DistinctTimesteps, Modulation
from ltx_models.transformer.feed_forward import gelu_approx
from ltx_models.transformer.pacing import Pacing
from mlx.utils import tree_flatten, tree_map

WIDTH = 512
SECTION = {
    "num_layers": 1,
    "num_attention_heads": 8,
    "attention_head_dim": 64,
    "in_channels": 4,
    "out_channels": 4,
    "cross_attention_dim": WIDTH,
    "audio_num_attention_heads": 8,
    "audio_attention_head_dim": 64,
    "audio_in_channels": 4,
    "audio_out_channels": 4,
    "audio_cross_attention_dim": WIDTH,
    "caption_channels": 8,
    "av_ca_timestep_scale_multiplier": 1000.0,
}
GATED = {"apply_gated_attention": True, "cross_attention_adaln": True, "caption_proj_before_connector": True}


def rms(x: mx.array, eps: float) -> mx.array:
    return x * mx.rsqrt(mx.square(x).mean(axis=-1, keepdims=True) + eps)


def token_pass(
    x: mx.array,
    eps: float,
    *,
    normed: bool,
    update: mx.array | None = None,
    gate: mx.array | None = None,
    gate_index: mx.array | None = None,
    gate_row: int = 0,
    values: mx.array | None = None,
    index: mx.array | None = None,
    affines: tuple[tuple[int, int], ...] = (),
) -> list[mx.array]:
    def row(rows: mx.array | None, by: mx.array | None, number: int) -> mx.array:
        assert rows is not None
        if by is None:
            by = mx.repeat(mx.arange(len(rows)), len(x) * x.shape[1] // len(rows)).reshape(x.shape[:2])
        return rows[by.flatten(), number].reshape(x.shape)

    results = []
    if update is not None:
        x = x + update * (1 if gate is None else row(gate, gate_index, gate_row))
        results.append(x)
    for scale, shift in affines:
        results.append(rms(x, eps) * (1 + row(values, index, scale)) + row(values, index, shift))
    return results + [rms(x, eps)] * (normed and not affines)


def norm_rope(
    tokens: list[mx.array], weights: list[mx.array], cos: mx.array, sin: mx.array, eps: float
) -> list[mx.array]:
    results = []
    for x, weight in zip(tokens, weights, strict=True):
        a, b = mx.split((rms(x, eps) * weight).reshape(*x.shape[:2], cos.shape[2], -1), 2, axis=-1)
        results.append(mx.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape))
    return results


def gate_heads(x: mx.array, logits: mx.array) -> mx.array:
    return x * (2 / (1 + mx.exp(-logits)))[..., None]


class Kernels:
    """In place of the real ones, which need a GPU; counts calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.on = True

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                self.calls += 1
                return function(*args, **kwargs)

            return call

        for function in (token_pass, norm_rope, gate_heads):
            monkeypatch.setattr(cuda_kernels, function.__name__, counted(function))
        monkeypatch.setattr(fused, "use_kernels", lambda dtype: self.on)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Kernels:
    return Kernels(monkeypatch)


def normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def model_of(section: dict[str, Any]) -> LTXModel:
    model = LTXModel(LTXModelConfig.from_config(section))
    weights = []
    for seed, (name, value) in enumerate(tree_flatten(model.parameters())):
        scale = (value.shape[-1] if value.ndim > 1 else 16) ** -0.5
        weights.append((name, ("_norm" in name) + scale * normal(seed, *value.shape)))
    model.load_weights(weights)
    return model


def streams(model: LTXModel, levels: int) -> tuple[Modality, Modality]:
    """Two samples; `levels` noise levels within each."""
    result = []
    for seed, (sizes, tokens) in enumerate(((model.config.video, 6), (model.config.audio, 3))):
        assert sizes is not None
        start = mx.abs(normal(seed + 10, 1, len(sizes.max_pos), tokens, 1))
        sigma = mx.array([0.9, 0.5])
        timesteps = sigma[:, None] * (1 - mx.arange(tokens)[None] % levels / 4)
        result.append(
            Modality(
                latent=normal(seed + 20, 2, tokens, sizes.in_channels),
                sigma=sigma,
                timesteps=timesteps,
                positions=mx.broadcast_to(
                    mx.concatenate([start, start + 0.5], -1), (2, *start.shape[1:3], 2)
                ),
                context=normal(seed + 30, 2, 5, model.config.caption_channels or sizes.dim),
            )
        )
    return result[0], result[1]


@pytest.mark.parametrize("section", [{}, GATED], ids=["plain", "gated"])
@pytest.mark.parametrize("levels", [1, 3])
def test_network(section: dict[str, Any], levels: int, kernels: Kernels) -> None:
    model = model_of(SECTION | section)
    inputs = streams(model, levels)
    skip = PerturbationConfig([Perturbation(PerturbationType.SKIP_A2V_CROSS_ATTN, None)])
    for perturbations in (None, BatchedPerturbationConfig([skip, PerturbationConfig([])])):
        kernels.on, kernels.calls = True, 0
        got = model(*inputs, perturbations)
        # Of each stream four norms, most with the sum before them, the last sum, and three rotations.
        assert kernels.calls == 2 * (4 + 1 + 3) + (6 if section else 0)
        kernels.on = False
        for left, right in zip(got, model(*inputs, perturbations), strict=True):
            np.testing.assert_allclose(left, right, atol=1e-4)


def test_gradients(kernels: Kernels) -> None:
    model = model_of(SECTION | GATED)
    inputs = streams(model, 3)

    def loss(parameters: Any) -> mx.array:
        model.update(parameters)
        video, audio = model(*inputs)
        return mx.square(video).sum() + mx.square(audio).sum()

    parameters = model.trainable_parameters()
    got = mx.grad(loss)(parameters)
    kernels.on = False
    want = mx.grad(loss)(parameters)
    for (name, left), (_, right) in zip(tree_flatten(got), tree_flatten(want), strict=True):
        assert mx.linalg.norm(left - right) <= 1e-4 * mx.linalg.norm(right) + 1e-6, name


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.booleans(), st.booleans(), st.integers(0, 99))
def test_residual(batch: int, tokens: int, gated: bool, mixed: bool, seed: int) -> None:
    x, update = normal(seed, batch, tokens, 8), normal(seed + 1, batch, tokens, 8)
    levels = np.random.default_rng(seed).integers(0, 2 if mixed else 1, (batch, tokens)).astype(np.float32)
    distinct = DistinctTimesteps.of(mx.array(levels))
    modulation = Modulation(normal(seed + 2, len(distinct.values), 3, 8), distinct.index)
    values = AdaValues(normal(seed + 3, 3, 8), modulation)
    residual = fused.Residual(x)
    residual.add(update, fused.Gate(values, 2) if gated else None)
    (got,) = residual.normed(1e-6, fused.Affine(values, scale=1, shift=0))
    shift, scale, gate = values.rows
    want = x + update * (gate if gated else 1)
    np.testing.assert_allclose(residual.value(), want, atol=1e-5)
    np.testing.assert_allclose(got, rms(want, 1e-6) * (1 + scale) + shift, atol=1e-4)


@given(st.integers(1, 1024))
def test_threads(packs: int) -> None:
    split = cuda_kernels.threads_for(packs)
    if split is not None:
        threads, per = split
        assert threads * per == packs
        assert threads % 32 == 0
    assert cuda_kernels.threads_for(0) is None
    for width in (256, 512, 1024, 2048, 3840, 4096):
        assert cuda_kernels.width_fits(width)


def test_gelu() -> None:
    x = mx.linspace(-12, 12, 1001)
    np.testing.assert_allclose(gelu_approx(x), nn.gelu_approx(x), atol=2e-6)
    gradient = mx.grad(lambda x: gelu_approx(x).sum())(x * 100)
    far = np.abs(np.array(x)) > 1
    np.testing.assert_allclose(np.array(gradient)[far], (np.array(x) > 0)[far], atol=1e-6)
    assert gelu_approx(x.astype(mx.bfloat16)).dtype == mx.bfloat16


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(SECTION | {"num_layers": 2})
    inputs = streams(model, 1)
    want = model(*inputs)
    handed: list[int] = []
    handing = mx.async_eval
    monkeypatch.setattr(mx, "async_eval", lambda arrays: (handed.append(len(arrays)), handing(arrays)))
    # All together, or after each of the four parts of a block.
    for piece, count in ((2**40, 0), (1, 8)):
        handed.clear()
        monkeypatch.setattr(Pacing, "here", lambda piece=piece: Pacing(piece))
        for left, right in zip(model(*inputs), want, strict=True):
            np.testing.assert_array_equal(left, right)
        assert len(handed) == count


def test_pieces_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(SECTION)
    video, audio = streams(model, 1)

    def loss(latent: mx.array) -> mx.array:
        return mx.square(model(replace(video, latent=latent), audio)[0]).sum()

    want = mx.grad(loss)(video.latent)
    monkeypatch.setattr(Pacing, "here", lambda: Pacing(1))
    np.testing.assert_array_equal(mx.grad(loss)(video.latent), want)
    np.testing.assert_allclose(mx.compile(loss)(video.latent), loss(video.latent), rtol=1e-4)


def test_wide_weights_in_bfloat16_keep_their_dtype(kernels: Kernels) -> None:
    model = model_of(SECTION)
    model.update(tree_map(lambda value: value.astype(mx.bfloat16), model.parameters()))
    kernels.on = False
    for velocity in model(*streams(model, 3)):
        assert velocity.dtype == mx.bfloat16
