"""The transformer's config, and the names and numbers of the parameters that it gives."""

import re
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import pytest
from ltx_core.errors import ConfigError
from ltx_models.transformer import LTXModel, LTXModelConfig, LTXModelType
from ltx_models.transformer.rope import LTXRopeType
from mlx.utils import tree_flatten

TINY: dict[str, Any] = {
    "_class_name": "AVTransformer3DModel",
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
}
GATED = {"apply_gated_attention": True, "cross_attention_adaln": True, "caption_proj_before_connector": True}
FULL = TINY | {
    "num_layers": 48,
    "num_attention_heads": 32,
    "attention_head_dim": 128,
    "in_channels": 128,
    "out_channels": 128,
    "cross_attention_dim": 4096,
    "audio_num_attention_heads": 32,
    "audio_attention_head_dim": 64,
    "audio_in_channels": 128,
    "audio_out_channels": 128,
    "audio_cross_attention_dim": 2048,
    "caption_channels": 3840,
}

ADALN = r"(emb\.timestep_embedder\.linear_[12]|linear)\.(weight|bias)"
ATTENTION = r"((to_[qkv]|to_out\.0)\.(weight|bias)|[qk]_norm\.weight)"
GATED_ATTENTION = r"((to_[qkv]|to_out\.0|to_gate_logits)\.(weight|bias)|[qk]_norm\.weight)"
FEED_FORWARD = r"net\.(0\.proj|2)\.(weight|bias)"
AUDIO_VIDEO = r"av_ca_((video|audio)_scale_shift|(a2v|v2a)_gate)_adaln_single"
EVERYWHERE = [
    r"(audio_)?(patchify_proj|proj_out)\.(weight|bias)",
    r"(audio_)?scale_shift_table",
    rf"(audio_)?adaln_single\.{ADALN}",
    rf"{AUDIO_VIDEO}\.{ADALN}",
    rf"transformer_blocks\.\d+\.(audio_)?ff\.{FEED_FORWARD}",
    r"transformer_blocks\.\d+\.(audio_)?scale_shift_table",
    r"transformer_blocks\.\d+\.scale_shift_table_a2v_ca_(video|audio)",
]
ANY_ATTENTION = r"((audio_)?attn[12]|audio_to_video_attn|video_to_audio_attn)"
NAMES_2_0 = [
    *EVERYWHERE,
    r"(audio_)?caption_projection\.linear_[12]\.(weight|bias)",
    rf"transformer_blocks\.\d+\.{ANY_ATTENTION}\.{ATTENTION}",
]
NAMES_2_3 = [
    *EVERYWHERE,
    rf"(audio_)?prompt_adaln_single\.{ADALN}",
    rf"transformer_blocks\.\d+\.{ANY_ATTENTION}\.{GATED_ATTENTION}",
    r"transformer_blocks\.\d+\.(audio_)?prompt_scale_shift_table",
]


def shapes(
    section: dict[str, Any], kind: LTXModelType = LTXModelType.AudioVideo
) -> dict[str, tuple[int, ...]]:
    model = LTXModel(LTXModelConfig.from_config(section, kind))
    return {name: value.shape for name, value in tree_flatten(model.parameters())}


def without(section: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name != key}


@pytest.mark.parametrize(
    ("section", "patterns", "per_block", "other"),
    [(TINY, NAMES_2_0, 72, 54), (TINY | GATED, NAMES_2_3, 86, 58)],
    ids=["2.0", "2.3"],
)
def test_parameter_names_are_the_checkpoints(
    section: dict[str, Any], patterns: list[str], per_block: int, other: int
) -> None:
    names = shapes(section)
    for name in names:
        assert any(re.fullmatch(pattern, name) for pattern in patterns), name
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
    in_blocks = [name for name in names if name.startswith("transformer_blocks.")]
    assert (len(in_blocks), len(names) - len(in_blocks)) == (per_block * TINY["num_layers"], other)


@pytest.mark.parametrize(
    ("section", "tensors", "parameters"),
    [
        (FULL, 3510, 18_876_174_592),
        (FULL | GATED, 4186, 18_988_838_144),
        (FULL | GATED | {"ff_bias": False, "use_keyframes_abs_pos_embedding": True}, 4091, 18_987_859_200),
    ],
    ids=["2.0", "2.3", "2.5"],
)
def test_full_size_networks_have_the_official_number_of_parameters(
    section: dict[str, Any], tensors: int, parameters: int
) -> None:
    """Arrays are lazy: nothing of the 19 billion is allocated."""
    sizes = [
        value.size for _, value in tree_flatten(LTXModel(LTXModelConfig.from_config(section)).parameters())
    ]
    assert (len(sizes), sum(sizes)) == (tensors, parameters)


def test_shapes_of_some_tensors() -> None:
    got = shapes(TINY | GATED)
    block = "transformer_blocks.1."
    assert got["patchify_proj.weight"] == (16, 3)
    assert got["audio_proj_out.weight"] == (5, 8)
    assert got["av_ca_video_scale_shift_adaln_single.linear.weight"] == (64, 16)
    assert got["av_ca_v2a_gate_adaln_single.linear.weight"] == (8, 8)
    assert got[block + "scale_shift_table"] == (9, 16)
    assert got[block + "prompt_scale_shift_table"] == (2, 16)
    assert got[block + "scale_shift_table_a2v_ca_audio"] == (5, 8)
    assert got[block + "audio_to_video_attn.to_q.weight"] == (8, 16)
    assert got[block + "audio_to_video_attn.to_out.0.weight"] == (16, 8)
    assert got[block + "video_to_audio_attn.to_k.weight"] == (8, 16)
    assert got[block + "video_to_audio_attn.to_gate_logits.weight"] == (2, 8)


@pytest.mark.parametrize("section", [TINY, TINY | GATED], ids=["2.0", "2.3"])
def test_single_streams_have_a_part_of_the_names(section: dict[str, Any]) -> None:
    both = shapes(section)
    video = shapes(section, LTXModelType.VideoOnly)
    audio = shapes(section, LTXModelType.AudioOnly)
    assert video.items() <= both.items()
    assert audio.items() <= both.items()
    assert not video.keys() & audio.keys()
    assert all("audio" in name for name in audio)
    between = both.keys() - video.keys() - audio.keys()
    assert all(re.search("av_ca|a2v_ca|_to_(video|audio)_attn", name) for name in between)


def test_options_of_later_networks() -> None:
    full = shapes(TINY | GATED)
    assert full.keys() - shapes(TINY | GATED | {"ff_bias": False}).keys() == {
        f"transformer_blocks.{block}.ff.net.{layer}.bias" for block in (0, 1) for layer in ("0.proj", "2")
    }
    assert full.keys() - shapes(TINY | GATED | {"audio_ff_bias": False}).keys() == {
        f"transformer_blocks.{block}.audio_ff.net.{layer}.bias"
        for block in (0, 1)
        for layer in ("0.proj", "2")
    }
    marked = shapes(TINY | {"use_keyframes_abs_pos_embedding": True})
    assert marked.keys() - shapes(TINY).keys() == {"keyframes_abs_pos_embedding"}
    assert marked["keyframes_abs_pos_embedding"] == (1, 16)
    lacking = full.keys() - shapes(TINY | GATED | {"use_prompt_adaln_single": False}).keys()
    assert lacking
    assert all("prompt_adaln_single" in name for name in lacking)


def test_defaults_are_the_references() -> None:
    config = LTXModelConfig.from_config(TINY)
    assert (config.rope_type, config.double_precision_rope) == (LTXRopeType.SPLIT, False)
    assert config.av_ca_timestep_scale_multiplier == 1
    assert config.video is not None
    assert config.audio is not None
    assert (config.video.max_pos, config.audio.max_pos) == ((20, 2048, 2048), (20,))
    real = LTXModelConfig.from_config(
        TINY | {"frequencies_precision": "float64", "av_ca_timestep_scale_multiplier": 1000.0}
    )
    assert (real.double_precision_rope, real.av_ca_timestep_scale_multiplier) == (True, 1000.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_layers", 0),
        ("num_attention_heads", "32"),
        ("audio_num_attention_heads", 4),
        ("cross_attention_dim", 24),
        ("audio_cross_attention_dim", 16),
        ("rope_type", "spiral"),
        ("positional_embedding_max_pos", [20]),
        ("activation_fn", "swiglu"),
        ("qk_norm", "layer_norm"),
        ("share_ff", True),
        ("use_middle_indices_grid", False),
        ("attention_bias", False),
    ],
)
def test_unsupported_values_are_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"(?s){key}.*{re.escape(repr(value))}"):
        LTXModelConfig.from_config(TINY | {key: value})


@pytest.mark.parametrize(
    "key",
    ["num_layers", "num_attention_heads", "audio_attention_head_dim", "in_channels", "caption_channels"],
)
def test_missing_sizes_are_named(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}.*missing"):
        LTXModelConfig.from_config(without(TINY, key))


def test_a_single_stream_needs_its_own_sizes_only() -> None:
    video = {key: value for key, value in TINY.items() if not key.startswith("audio_")}
    assert LTXModelConfig.from_config(video, LTXModelType.VideoOnly).audio is None
    with pytest.raises(ConfigError, match="audio_num_attention_heads"):
        LTXModelConfig.from_config(video)
