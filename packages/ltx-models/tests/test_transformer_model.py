"""What must hold for the whole network, whatever its weights: on tiny random ones."""

from dataclasses import replace
from functools import cache
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core import X0Model
from ltx_core.errors import ConfigError, ShapeError
from ltx_core.perturbations import (
    BatchedPerturbationConfig,
    Perturbation,
    PerturbationConfig,
    PerturbationType,
)
from ltx_core.types import Modality
from ltx_models.transformer import LTXModel, LTXModelConfig, LTXModelType
from mlx.utils import tree_flatten

few = settings(max_examples=20, deadline=None)

SECTION: dict[str, Any] = {
    "num_layers": 2,
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
    "av_ca_timestep_scale_multiplier": 1000.0,
    "frequencies_precision": "float64",
}
GATED = {"apply_gated_attention": True, "cross_attention_adaln": True, "caption_proj_before_connector": True}
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gated": GATED,
    "static text": GATED | {"use_prompt_adaln_single": False},
    "marked": GATED | {"ff_bias": False, "use_keyframes_abs_pos_embedding": True},
    "interleaved": {"rope_type": "interleaved"},
}
networks = st.sampled_from(sorted(NETWORKS))
STREAMS = ("video", "audio")


@cache
def network(name: str, dtype: mx.Dtype = mx.float32) -> LTXModel:
    """Weights of moderate size everywhere, tables and markers too (which a fresh network has at 0)."""
    model = LTXModel(LTXModelConfig.from_config(SECTION | NETWORKS[name]))
    keys = iter(mx.random.split(mx.random.key(7), 1000))
    weights = []
    for parameter, value in tree_flatten(model.parameters()):
        scale = (value.shape[-1] if value.ndim > 1 else 16) ** -0.5
        offset = 1.0 if "_norm" in parameter else 0.0
        weights.append((parameter, offset + scale * mx.random.normal(value.shape, key=next(keys))))
    model.load_weights([(parameter, value.astype(dtype)) for parameter, value in weights])
    return model


def normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def modality(model: LTXModel, stream: str, seed: int = 0, batch: int = 1, tokens: int = 4) -> Modality:
    sizes = model.config.video if stream == "video" else model.config.audio
    assert sizes is not None
    seed = 1000 * STREAMS.index(stream) + 10 * seed
    start = mx.abs(normal(seed, batch, len(sizes.max_pos), tokens, 1))
    sigma = mx.random.uniform(0.1, 1.0, (batch,), key=mx.random.key(seed + 1))
    return Modality(
        latent=normal(seed + 2, batch, tokens, sizes.in_channels),
        sigma=sigma,
        timesteps=mx.broadcast_to(sigma[:, None, None], (batch, tokens, 1)),
        positions=mx.concatenate([start, start + 0.5], axis=-1),
        context=normal(seed + 3, batch, 3, model.config.caption_channels or sizes.dim),
    )


def streams(model: LTXModel, seed: int = 0, batch: int = 1) -> tuple[Modality, Modality]:
    return modality(model, "video", seed, batch), modality(model, "audio", seed, batch, tokens=3)


def sample(stream: Modality, index: int) -> Modality:
    names = ("latent", "sigma", "timesteps", "positions", "context")
    return replace(stream, **{name: getattr(stream, name)[index : index + 1] for name in names})


def skip(*kinds: PerturbationType, blocks: list[int] | None = None) -> PerturbationConfig:
    return PerturbationConfig([Perturbation(kind, blocks) for kind in kinds])


def assert_equal(got: Any, want: Any) -> None:
    for left, right in zip(got, want, strict=True):
        np.testing.assert_array_equal(left, right)


def assert_close(got: Any, want: Any, atol: float = 2e-5) -> None:
    for left, right in zip(got, want, strict=True):
        np.testing.assert_allclose(left, right, atol=atol, rtol=1e-4)


def differ(left: mx.array | None, right: mx.array | None) -> bool:
    assert left is not None
    assert right is not None
    return mx.abs(left - right).max().item() > 1e-3


@few
@given(networks, st.integers(0, 99), st.integers(1, 3))
def test_shapes(name: str, seed: int, batch: int) -> None:
    model = network(name)
    video, audio = streams(model, seed, batch)
    velocities = model(video, audio)
    for velocity, stream in zip(velocities, (video, audio), strict=True):
        assert velocity is not None
        assert velocity.shape == stream.latent.shape
        assert mx.isfinite(velocity).all().item()


@few
@given(networks, st.integers(0, 99))
def test_uniform_token_timesteps_are_the_scalar_path_bit_for_bit(name: str, seed: int) -> None:
    model = network(name)
    video, audio = streams(model, seed, batch=2)
    scalar = [replace(stream, timesteps=stream.timesteps[:, :1]) for stream in (video, audio)]
    assert_equal(model(video, audio), model(*scalar))


@few
@given(networks, st.integers(0, 99))
def test_gathered_modulation_is_the_broadcast_one(name: str, seed: int) -> None:
    """Another sample's mixed timesteps take the whole batch off the broadcast path: same numbers."""
    model = network(name)
    video, audio = streams(model, seed, batch=2)
    levels = np.array(video.timesteps)
    levels[1, 0] = 0.0
    mixed = model(replace(video, timesteps=mx.array(levels)), audio)
    assert_close(
        [v[:1] for v in mixed if v is not None], [v[:1] for v in model(video, audio) if v is not None]
    )


def test_timesteps_of_tokens_matter() -> None:
    model = network("gated")
    video, audio = streams(model)
    conditioned = replace(video, timesteps=video.timesteps * mx.array([0.0, 1.0, 1.0, 1.0])[None, :, None])
    assert differ(model(video, audio)[0], model(conditioned, audio)[0])


@few
@given(networks, st.integers(0, 99), st.integers(2, 3))
def test_samples_do_not_see_each_other(name: str, seed: int, batch: int) -> None:
    model = network(name)
    video, audio = streams(model, seed, batch)
    together = model(video, audio)
    for index in range(batch):
        alone = model(sample(video, index), sample(audio, index))
        assert_close([v[index : index + 1] for v in together if v is not None], alone)


@few
@given(networks, st.integers(0, 99))
def test_perturbing_no_block_changes_nothing(name: str, seed: int) -> None:
    model = network(name)
    inputs = streams(model, seed)
    nothing = BatchedPerturbationConfig([skip(*PerturbationType, blocks=[])])
    elsewhere = BatchedPerturbationConfig([skip(*PerturbationType, blocks=[model.num_blocks])])
    assert_equal(model(*inputs, nothing), model(*inputs))
    assert_equal(model(*inputs, elsewhere), model(*inputs))


@few
@given(
    networks,
    st.lists(st.lists(st.sampled_from(PerturbationType), unique=True), min_size=2, max_size=3),
    st.sampled_from([None, [0], [1]]),
)
def test_mixed_perturbations_are_those_of_each_sample(
    name: str, kinds: list[list[PerturbationType]], blocks: list[int] | None
) -> None:
    model = network(name)
    video, audio = streams(model, batch=len(kinds))
    configs = [skip(*some, blocks=blocks) for some in kinds]
    together = model(video, audio, BatchedPerturbationConfig(configs))
    for index, config in enumerate(configs):
        alone = model(sample(video, index), sample(audio, index), BatchedPerturbationConfig([config]))
        assert_close([v[index : index + 1] for v in together if v is not None], alone)


@few
@given(networks, st.integers(0, 99))
def test_streams_without_cross_attention_are_streams_alone(name: str, seed: int) -> None:
    model = network(name)
    video, audio = streams(model, seed)
    isolated = BatchedPerturbationConfig(
        [skip(PerturbationType.SKIP_A2V_CROSS_ATTN, PerturbationType.SKIP_V2A_CROSS_ATTN)]
    )
    apart = model(video, audio, isolated)
    assert_close(apart[:1], model(video, None)[:1])
    assert_close(apart[1:], model(None, audio)[1:])
    assert model(video, None)[1] is None
    assert model(None, audio)[0] is None


@few
@given(networks, st.sampled_from(STREAMS), st.integers(0, 99))
def test_a_model_of_one_stream_is_the_full_one_called_with_it(name: str, stream: str, seed: int) -> None:
    full = network(name)
    kind = LTXModelType.VideoOnly if stream == "video" else LTXModelType.AudioOnly
    single = LTXModel(LTXModelConfig.from_config(SECTION | NETWORKS[name], kind))
    own = dict(tree_flatten(single.parameters()))
    single.load_weights([item for item in tree_flatten(full.parameters()) if item[0] in own])
    given_stream = modality(full, stream, seed)
    inputs = (given_stream, None) if stream == "video" else (None, given_stream)
    index = STREAMS.index(stream)
    assert_equal(single(*inputs)[index : index + 1], full(*inputs)[index : index + 1])
    with pytest.raises(ConfigError, match="has no"):
        single(*reversed(inputs))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_disabled_stream_still_feeds_the_other(name: str) -> None:
    model = network(name)
    video, audio = streams(model)
    velocity = model(video, replace(audio, enabled=False))[0]
    assert differ(velocity, model(video, None)[0])
    assert differ(velocity, model(video, audio)[0])
    args = model.prepare(video, replace(audio, enabled=False))[1]
    assert args is not None
    nothing = BatchedPerturbationConfig.empty(1)
    _, after = model.transformer_blocks[0](model.prepare(video, audio)[0], args, nothing, 0)
    np.testing.assert_array_equal(after.x, args.x)


@few
@given(networks, st.integers(0, 99))
def test_cache_changes_nothing(name: str, seed: int) -> None:
    """Two passes with different texts, over three steps: bit for bit what the same calls give without it."""
    model = network(name)
    cache = model.make_cache()
    video, audio = streams(model, seed)
    video = replace(video, attention_mask=mx.ones((1, 4, 4)).at[0, 0, 1].multiply(0.0))
    video, audio = (replace(stream, context_mask=mx.array([[1, 1, 0]])) for stream in (video, audio))
    negative = {stream: modality(model, stream, seed + 1).context for stream in STREAMS}
    for step in range(3):
        sigma = mx.array([0.9 - 0.2 * step])
        video, audio = (
            replace(stream, sigma=sigma, timesteps=mx.broadcast_to(sigma, (1, stream.latent.shape[1], 1)))
            for stream in (video, audio)
        )
        others = replace(video, context=negative["video"]), replace(audio, context=negative["audio"])
        for inputs in ((video, audio), others):
            assert_equal(model(*inputs, cache=cache), model(*inputs))


@pytest.mark.parametrize("name", ["plain", "static text"])
def test_cache_keeps_text_and_tables_and_notices_changes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(name)
    cache = model.make_cache()
    video, audio = streams(model)
    computed: list[object] = []
    attention = type(model.transformer_blocks[0].attn2)
    keys_values = attention.keys_values
    monkeypatch.setattr(
        attention, "keys_values", lambda self, *a: (computed.append(self), keys_values(self, *a))[1]
    )
    always = 2 * model.num_blocks  # two directions between the streams
    counts = []
    other_text = replace(video, context=video.context + 1)
    for inputs in ((video, audio), (video, audio), (other_text, audio), (video, audio), (other_text, audio)):
        computed.clear()
        assert_equal(model(*inputs, cache=cache), model(*inputs, cache=model.make_cache()))
        counts.append(len(computed) - (always + 4 * model.num_blocks))
    assert counts == [2 * model.num_blocks, 0, model.num_blocks, 0, 0]
    moved = replace(video, positions=video.positions * 1.5)
    assert_equal(model(moved, audio, cache=cache), model(moved, audio))
    assert differ(model(moved, audio, cache=cache)[0], model(video, audio, cache=cache)[0])


def test_modulated_text_is_not_cached() -> None:
    model = network("gated")
    cache = model.make_cache()
    video, audio = streams(model)
    model(video, audio, cache=cache)
    noisier = replace(video, sigma=video.sigma + 0.3)
    assert_equal(model(noisier, audio, cache=cache), model(noisier, audio))
    assert differ(model(noisier, audio)[0], model(video, audio)[0])


@pytest.mark.parametrize("every", [1, 2])
def test_evaluation_between_blocks_changes_nothing(every: int) -> None:
    model = network("gated")
    inputs = streams(model)
    want = model(*inputs)
    try:
        model.eval_every = every
        assert_equal(model(*inputs), want)
    finally:
        model.eval_every = 0


def test_mask_of_ones_is_no_mask() -> None:
    model = network("plain")
    video, audio = streams(model, batch=2)
    masked = replace(video, attention_mask=mx.ones((2, 4, 4)), context_mask=mx.ones((2, 3), mx.int32))
    assert_close(model(masked, audio), model(video, audio))


def test_tokens_that_nobody_sees_do_not_matter() -> None:
    model = network("gated")
    video = modality(model, "video")
    mask = mx.array(np.repeat([[[1.0, 1.0, 1.0, 0.0]]], 4, axis=1).astype(np.float32))
    changed = replace(video, latent=video.latent + mx.array([0.0, 0.0, 0.0, 1.0])[None, :, None])
    (left, _), (right, _) = (model(replace(stream, attention_mask=mask), None) for stream in (video, changed))
    assert left is not None
    assert right is not None
    np.testing.assert_allclose(left[:, :3], right[:, :3], atol=1e-6)
    assert differ(left[:, 3:], right[:, 3:])


def test_keyframe_marker() -> None:
    model = network("marked")
    video, audio = streams(model)
    unmarked = replace(video, keyframes_mask=mx.zeros((1, 4, 1)))
    marked = replace(video, keyframes_mask=mx.array([1.0, 0.0, 0.0, 0.5]).reshape(1, 4, 1))
    assert_equal(model(unmarked, audio), model(video, audio))
    before, after = (model.prepare(stream, audio)[0] for stream in (video, marked))
    assert before is not None
    assert after is not None
    moved = after.x - before.x
    np.testing.assert_allclose(moved[0, 0], model.keyframes_abs_pos_embedding[0], atol=1e-6)
    np.testing.assert_allclose(moved[0, 3], model.keyframes_abs_pos_embedding[0], atol=1e-6)
    np.testing.assert_array_equal(moved[0, 1:3], mx.zeros((2, 16)))
    plain = network("gated")
    assert_equal(plain(marked, audio), plain(video, audio))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_bfloat16_runs_and_is_near(name: str) -> None:
    exact, half = network(name), network(name, mx.bfloat16)
    video, audio = streams(exact)
    rounded = [
        replace(stream, latent=stream.latent.astype(mx.bfloat16), context=stream.context.astype(mx.bfloat16))
        for stream in (video, audio)
    ]
    for inputs in (rounded, (video, audio)):
        for got, want in zip(half(*inputs), exact(video, audio), strict=True):
            assert got is not None
            assert want is not None
            assert got.dtype == mx.bfloat16
            error = mx.linalg.norm(got.astype(mx.float32) - want) / mx.linalg.norm(want)
            assert error.item() < 0.1


@few
@given(st.integers(0, 99), st.sampled_from([mx.float32, mx.bfloat16]))
def test_clean_tokens(seed: int, dtype: mx.Dtype) -> None:
    model = network("gated")
    video, audio = streams(model, seed)
    video = replace(
        video, latent=video.latent.astype(dtype), timesteps=video.timesteps * mx.array([0, 1, 1, 1])[:, None]
    )
    velocity, _ = model(video, audio)
    clean, clean_audio = X0Model(model)(video, audio)
    assert clean is not None
    assert velocity is not None
    assert clean.dtype == dtype
    np.testing.assert_array_equal(clean[:, 0].astype(mx.float32), video.latent[:, 0].astype(mx.float32))
    want = video.latent.astype(mx.float32) - velocity * video.timesteps
    np.testing.assert_array_equal(clean.astype(mx.float32), want.astype(dtype).astype(mx.float32))
    assert clean_audio is not None
    assert X0Model(model)(video, None)[1] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latent", mx.zeros((1, 4, 7))),
        ("sigma", mx.zeros((3,))),
        ("timesteps", mx.zeros((1, 5, 1))),
        ("positions", mx.zeros((1, 1, 4, 2))),
        ("context", mx.zeros((1, 3, 99))),
        ("context", mx.zeros((2, 3, 6))),
    ],
)
def test_shapes_that_do_not_fit_are_named(field: str, value: mx.array) -> None:
    model = network("plain")
    video, audio = streams(model)
    with pytest.raises(ShapeError, match=f"video {field}"):
        model(replace(video, **{field: value}), audio)


def test_inputs_that_do_not_belong_together() -> None:
    model = network("plain")
    video, audio = streams(model)
    with pytest.raises(ShapeError, match="no tokens"):
        model(video, modality(model, "audio", tokens=0))
    with pytest.raises(ConfigError, match="neither"):
        model(None, None)
    with pytest.raises(ShapeError, match="audio"):
        model(video, modality(model, "audio", batch=2))
    with pytest.raises(ShapeError, match="perturbations"):
        model(video, audio, BatchedPerturbationConfig.empty(2))
