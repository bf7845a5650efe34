"""Connectors and the embeddings processor: registers, independence of the batch, configs."""

from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError, ShapeError
from ltx_models.text_encoder import (
    ConnectorConfig,
    Embeddings1DConnector,
    EmbeddingsProcessor,
    EmbeddingsProcessorConfig,
)
from mlx.utils import tree_flatten, tree_map

V1 = {
    "connector_num_attention_heads": 2,
    "connector_attention_head_dim": 6,
    "connector_num_layers": 2,
    "connector_positional_embedding_max_pos": [4096],
    "frequencies_precision": "float64",
}
V2 = {
    **V1,
    "num_attention_heads": 2,
    "attention_head_dim": 6,
    "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 4,
    "audio_connector_num_attention_heads": 2,
    "audio_connector_attention_head_dim": 4,
    "audio_connector_num_layers": 1,
    "connector_apply_gated_attention": True,
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_proj_input_norm": False,
    "caption_projection_second_linear": False,
    "text_encoder_norm_type": "per_token_rms",
}
GEMMA_WIDTH, GEMMA_LAYERS = 12, 3


def randomise(module: Any, seed: int = 0) -> Any:
    keys = iter(mx.random.split(mx.random.key(seed), 200))
    module.update(tree_map(lambda p: 0.3 * mx.random.normal(p.shape, key=next(keys)), module.parameters()))
    return module


def processor(section: dict[str, Any], seed: int = 0) -> EmbeddingsProcessor:
    config = EmbeddingsProcessorConfig.from_config(section, GEMMA_WIDTH, GEMMA_LAYERS)
    return randomise(EmbeddingsProcessor(config), seed)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(0, 300), units=st.integers(1, 3), batch=st.integers(1, 2))
def test_registers_stand_at_their_absolute_position(length: int, units: int, batch: int) -> None:
    connector = randomise(Embeddings1DConnector(ConnectorConfig.from_config(V1)))
    features = mx.random.normal((batch, length, 12), key=mx.random.key(length))
    max_length = 128 * units
    if length > max_length:
        with pytest.raises(ShapeError, match="do not fit"):
            connector.append_registers(features, max_length)
        return
    got = np.array(connector.append_registers(features, max_length))
    registers = np.array(connector.learnable_registers)
    want = np.tile(registers, (units, 1))[None].repeat(batch, axis=0)
    want[:, :length] = np.array(features)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("max_length", [0, 100, -128])
def test_max_length_must_fit_the_registers(max_length: int) -> None:
    connector = Embeddings1DConnector(ConnectorConfig.from_config(V1))
    with pytest.raises(ShapeError, match="multiple of 128"):
        connector(mx.zeros((1, 0, 12)), max_length)


@pytest.mark.parametrize("section", [V1, V2])
def test_context_does_not_depend_on_the_batch(section: dict[str, Any]) -> None:
    network = processor(section)
    rng = np.random.default_rng(0)
    states = [mx.array(rng.standard_normal((2, 5, GEMMA_WIDTH)).astype(np.float32)) for _ in range(4)]
    together = network.process_hidden_states(states, 128)
    for row in range(2):
        alone = network.process_hidden_states([x[row : row + 1] for x in states], 128)
        for a, b in zip(together, alone, strict=True):
            assert mx.allclose(a[row], b[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("section", "audio_width"), [(V1, 12), (V2, 8)])
def test_contexts_are_normed_and_long_enough(section: dict[str, Any], audio_width: int) -> None:
    states = [mx.random.normal((1, 3, GEMMA_WIDTH), key=mx.random.key(i)) for i in range(4)]
    network = processor(section)
    for length in (128, 256, 128):
        network.eval_every += 1
        assert network.audio_embeddings_connector.eval_every == network.eval_every
        video, audio = network.process_hidden_states(states, length)
        assert video.shape == (1, length, 12)
        assert audio.shape == (1, length, audio_width)
        for context in (video, audio):
            rms = mx.sqrt(mx.mean(mx.square(context), axis=-1))
            assert mx.allclose(rms, mx.ones_like(rms), atol=1e-3)


def test_every_position_reaches_every_other() -> None:
    """Attention is bidirectional and unmasked: the last token changes the first position."""
    network = processor(V1)
    states = [mx.random.normal((1, 3, GEMMA_WIDTH), key=mx.random.key(i)) for i in range(4)]
    video = network.text_embedding_projection(states)[0]
    connector = network.video_embeddings_connector
    changed = mx.concatenate([video[:, :2], video[:, 2:] + 1], axis=1)
    assert not mx.allclose(connector(video, 128)[:, 0], connector(changed, 128)[:, 0])


def test_attribute_tree_follows_the_checkpoint() -> None:
    names = {name for name, _ in tree_flatten(processor(V2).parameters())}
    block = "video_embeddings_connector.transformer_1d_blocks.1"
    assert {
        "text_embedding_projection.video_aggregate_embed.weight",
        "text_embedding_projection.audio_aggregate_embed.bias",
        "audio_embeddings_connector.learnable_registers",
        "audio_embeddings_connector.transformer_1d_blocks.0.attn1.to_out.0.bias",
        f"{block}.attn1.to_gate_logits.weight",
        f"{block}.attn1.q_norm.weight",
        f"{block}.ff.net.0.proj.weight",
        f"{block}.ff.net.2.bias",
    } <= names
    assert "audio_embeddings_connector.transformer_1d_blocks.1.attn1.to_q.weight" not in names
    names = {name for name, _ in tree_flatten(processor(V1).parameters())}
    assert {name for name in names if "projection" in name} == {
        "text_embedding_projection.aggregate_embed.weight"
    }
    assert not any("to_gate_logits" in name for name in names)


def test_audio_connector_takes_the_video_sizes_where_it_has_none() -> None:
    assert ConnectorConfig.from_config(V1, audio=True) == ConnectorConfig.from_config(V1)
    audio = ConnectorConfig.from_config(V2, audio=True)
    assert (audio.inner_dim, audio.num_layers) == (8, 1)


@pytest.mark.parametrize(
    ("section", "changes", "named"),
    [
        (V1, {"caption_proj_before_connector": True}, "caption_projection_first_linear"),
        (V1, {"text_encoder_norm_type": "per_token_rms"}, "text_encoder_norm_type"),
        (V1, {"connector_attention_head_dim": 4}, "width"),
        (V1, {"audio_connector_attention_head_dim": 4}, "audio_connector"),
        (V1, {"connector_num_layers": 0}, "connector_num_layers"),
        (V1, {"connector_num_attention_heads": "2"}, "connector_num_attention_heads"),
        (V1, {"connector_positional_embedding_max_pos": [20, 2048]}, "max_pos"),
        (V1, {"rope_type": "spiral"}, "rope_type"),
        (V1, {"use_embeddings_connector": False}, "use_embeddings_connector"),
        (V1, {"connector_norm_output": False}, "connector_norm_output"),
        (V2, {"caption_proj_input_norm": True}, "caption_proj_input_norm"),
        (V2, {"caption_proj_before_connector": False}, "caption_proj_before_connector"),
        (V2, {"text_encoder_norm_type": "layer_norm"}, "text_encoder_norm_type"),
        (V2, {"attention_head_dim": 7}, "width"),
        (V2, {"audio_num_attention_heads": None}, "audio_num_attention_heads"),
    ],
)
def test_unsupported_config(section: dict[str, Any], changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        EmbeddingsProcessorConfig.from_config({**section, **changes}, GEMMA_WIDTH, GEMMA_LAYERS)


def test_v2_needs_all_of_its_keys() -> None:
    section = {key: value for key, value in V2.items() if key != "caption_proj_input_norm"}
    with pytest.raises(ConfigError, match="caption_proj_input_norm"):
        EmbeddingsProcessorConfig.from_config(section, GEMMA_WIDTH, GEMMA_LAYERS)
