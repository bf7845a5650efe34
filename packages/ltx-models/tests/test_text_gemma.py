"""Gemma 3 against an independent numpy implementation of its formulas, and its config."""

from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError, ShapeError
from ltx_models.text_encoder import GemmaConfig, GemmaTextModel
from mlx.utils import tree_flatten

Weights = dict[str, np.ndarray]

SIZES = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 30,
    "query_pre_attn_scalar": 8,
    "sliding_window": 4,
    "sliding_window_pattern": 3,
    "rope_theta": 1e6,
    "rope_local_base_freq": 1e4,
    "rope_scaling": {"rope_type": "linear", "factor": 8.0},
}


def flat_config(**changes: Any) -> dict[str, Any]:
    return {"model_type": "gemma3_text", **SIZES, **changes}


def random_model(config: GemmaConfig, seed: int) -> tuple[GemmaTextModel, Weights]:
    """A network with random weights, and the same weights by name in float64."""
    rng = np.random.default_rng(seed)
    model = GemmaTextModel(config)
    weights: Weights = {}
    for name, parameter in tree_flatten(model.parameters()):
        scale = 0.3 if "norm" in name else 1.0 if "embed" in name else parameter.shape[-1] ** -0.5
        weights[name] = (rng.standard_normal(parameter.shape) * scale).astype(np.float32).astype(np.float64)
    model.load_weights([(name, mx.array(weight.astype(np.float32))) for name, weight in weights.items()])
    return model, weights


def norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * (1 + weight)


def rotate(x: np.ndarray, theta: float, factor: float) -> np.ndarray:
    """Rotate-half RoPE of (heads, T, D) at positions 0..T-1."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[1])[:, None] / factor * theta ** (-np.arange(half) / half)
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def reference(config: GemmaConfig, weights: Weights, ids: np.ndarray, valid: np.ndarray) -> list[np.ndarray]:
    """All hidden states (T, hidden) of a padded sequence, padding included, in float64."""
    length = len(ids)
    x = weights["embed_tokens.weight"][ids] * np.sqrt(config.hidden_size)
    distance = np.arange(length)[:, None] - np.arange(length)[None]
    states = [x]
    for index, kind in enumerate(config.layer_types):
        w = {k.split(".", 2)[2]: v for k, v in weights.items() if k.startswith(f"layers.{index}.")}
        full = kind == "full_attention"
        visible = (distance >= 0) & valid[None] & (full | (distance < config.sliding_window))
        theta = config.rope_theta if full else config.rope_local_theta
        factor = config.rope_factor if full else 1.0

        h = norm(x, w["input_layernorm.weight"])
        q, k, v = (
            (h @ w[f"self_attn.{name}_proj.weight"].T).reshape(length, -1, config.head_dim).transpose(1, 0, 2)
            for name in "qkv"
        )
        q = rotate(norm(q, w["self_attn.q_norm.weight"]), theta, factor)
        k = rotate(norm(k, w["self_attn.k_norm.weight"]), theta, factor)
        groups = config.num_attention_heads // config.num_key_value_heads
        k, v = np.repeat(k, groups, axis=0), np.repeat(v, groups, axis=0)
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(config.query_pre_attn_scalar)
        scores = np.where(visible, scores, -1e30)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        h = (scores / scores.sum(-1, keepdims=True)) @ v
        h = h.transpose(1, 0, 2).reshape(length, -1) @ w["self_attn.o_proj.weight"].T
        x = x + norm(h, w["post_attention_layernorm.weight"])

        h = norm(x, w["pre_feedforward_layernorm.weight"])
        h = gelu_tanh(h @ w["mlp.gate_proj.weight"].T) * (h @ w["mlp.up_proj.weight"].T)
        x = x + norm(h @ w["mlp.down_proj.weight"].T, w["post_feedforward_layernorm.weight"])
        states.append(x)
    states[-1] = norm(x, weights["norm.weight"])
    return states


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    length=st.integers(1, 14),
    padding=st.integers(0, 10),
    shift=st.booleans(),
    heads=st.sampled_from([(4, 2), (2, 2), (3, 1)]),
    window=st.integers(1, 16),
    pattern=st.integers(1, 4),
    eval_every=st.integers(0, 3),
)
def test_valid_rows_are_those_of_the_padded_reference(
    seed: int,
    length: int,
    padding: int,
    shift: bool,
    heads: tuple[int, int],
    window: int,
    pattern: int,
    eval_every: int,
) -> None:
    config = GemmaConfig.from_config(
        flat_config(
            num_attention_heads=heads[0],
            num_key_value_heads=heads[1],
            sliding_window=window,
            sliding_window_pattern=pattern,
        )
    )
    model, weights = random_model(config, seed)
    model.eval_every = eval_every
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, length)
    padded = np.concatenate([np.zeros(padding, ids.dtype), ids])
    want = reference(config, weights, padded, np.arange(len(padded)) >= padding)

    got = model(mx.array(ids)[None], offset=padding if shift else 0)

    assert len(got) == len(want) == config.num_hidden_layers + 1
    for state, expected in zip(got, want, strict=True):
        expected = expected[padding:]
        error = np.linalg.norm(np.array(state[0]) - expected) / np.linalg.norm(expected)
        assert error < 1e-5


def test_batch_rows_do_not_see_each_other() -> None:
    model, _ = random_model(GemmaConfig.from_config(flat_config()), 0)
    ids = mx.array([[2, 5, 7, 9, 11], [2, 3, 4, 5, 6]])
    both = model(ids)
    for row in range(2):
        for together, alone in zip(both, model(ids[row : row + 1]), strict=True):
            assert mx.allclose(together[row], alone[0], rtol=1e-5, atol=1e-5)


def test_embedding_scale_is_rounded_to_the_weights_dtype() -> None:
    config = GemmaConfig.from_config(flat_config(hidden_size=15, num_hidden_layers=1))
    model, _ = random_model(config, 1)
    model.set_dtype(mx.bfloat16)
    ids = mx.array([[3, 1]])
    scale = mx.array(15**0.5).astype(mx.bfloat16)
    assert scale.item() != 15**0.5
    states = model(ids)
    assert mx.array_equal(states[0], model.embed_tokens(ids) * scale)
    assert {state.dtype for state in states} == {mx.bfloat16}


def test_tree_has_the_names_of_the_hugging_face_checkpoint() -> None:
    model = GemmaTextModel(GemmaConfig.from_config(flat_config(num_hidden_layers=1)))
    names = {name for name, _ in tree_flatten(model.parameters())}
    layer = {f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")}
    layer |= {f"mlp.{name}_proj" for name in ("gate", "up", "down")}
    layer |= {
        f"{name}_layernorm" for name in ("input", "post_attention", "pre_feedforward", "post_feedforward")
    }
    assert names == {f"layers.0.{name}.weight" for name in layer} | {"embed_tokens.weight", "norm.weight"}


@pytest.mark.parametrize("ids", [mx.array([1, 2]), mx.zeros((1, 0), dtype=mx.int32)])
def test_wrong_shape_of_ids(ids: mx.array) -> None:
    model = GemmaTextModel(GemmaConfig.from_config(flat_config(num_hidden_layers=1)))
    with pytest.raises(ShapeError, match="expected"):
        model(ids)


@pytest.mark.parametrize("token", [-1, 30])
def test_token_outside_the_vocabulary(token: int) -> None:
    model = GemmaTextModel(GemmaConfig.from_config(flat_config(num_hidden_layers=1)))
    with pytest.raises(ShapeError, match="vocabulary"):
        model(mx.array([[1, token]]))


def test_old_and_new_spelling_of_a_config_mean_the_same() -> None:
    old = flat_config()
    new = {key: value for key, value in old.items() if "rope" not in key and "pattern" not in key}
    new["rope_parameters"] = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    sliding, full = "sliding_attention", "full_attention"
    new["layer_types"] = [sliding, sliding, full, sliding]
    nested = {"model_type": "gemma3", "text_config": old, "vision_config": {}}
    config = GemmaConfig.from_config(old)
    assert config.layer_types == (sliding, sliding, full, sliding)
    assert GemmaConfig.from_config(new) == config
    assert GemmaConfig.from_config(nested) == config


def test_defaults_are_those_of_the_transformers_library() -> None:
    """The published config of Gemma 3 12B leaves most of its values out."""
    config = GemmaConfig.from_config(
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 3840,
                "intermediate_size": 15360,
                "num_attention_heads": 16,
                "num_hidden_layers": 48,
                "num_key_value_heads": 8,
                "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                "sliding_window": 1024,
            },
        }
    )
    assert (config.head_dim, config.vocab_size, config.query_pre_attn_scalar) == (256, 262208, 256)
    assert (config.rope_theta, config.rope_factor, config.rope_local_theta) == (1e6, 8.0, 1e4)
    assert [i for i, kind in enumerate(config.layer_types) if kind == "full_attention"] == list(
        range(5, 48, 6)
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "gemma4_unified"}, "model_type"),
        ({"model_type": "llama"}, "model_type"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": 2.5}, "num_hidden_layers"),
        ({"head_dim": 7}, "head_dim"),
        ({"num_key_value_heads": 3}, "num_attention_heads"),
        ({"hidden_activation": "silu"}, "hidden_activation"),
        ({"attention_bias": True}, "attention_bias"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "yarn"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ({"rope_scaling": "linear"}, "rope_scaling"),
        ({"rope_parameters": {"sliding_attention": {"rope_type": "linear"}}}, "rope_type"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
        ({"layer_types": ["chunked"] * 4}, "layer_types"),
        ({"rms_norm_eps": -1.0}, "rms_norm_eps"),
    ],
)
def test_unsupported_config(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        GemmaConfig.from_config(flat_config(**changes))
