"""Names and configs of diffusers repositories, there and back, over networks of random sizes."""

import json
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError
from ltx_loaders import Checkpoint, LoaderError, load_upsampler
from ltx_loaders.components import COMPONENTS
from ltx_loaders.diffusers_config import (
    audio_vae_section,
    transformer_section,
    upsampler_config,
    vocoder_section,
)
from ltx_loaders.diffusers_keys import (
    AUDIO_VAE_RENAMES,
    CONNECTOR_RENAMES,
    TRANSFORMER_RENAMES,
    VOCODER_RENAMES,
    Renames,
    video_vae_renames,
)
from ltx_loaders.diffusers_video_vae import video_vae_section
from mlx.utils import tree_flatten

TRANSFORMER = {
    "_class_name": "LTX2VideoTransformer3DModel", "num_layers": 1, "num_attention_heads": 2,
    "attention_head_dim": 4, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 8,
    "caption_channels": 6, "audio_num_attention_heads": 2, "audio_attention_head_dim": 2,
    "audio_in_channels": 4, "audio_out_channels": 4, "audio_cross_attention_dim": 4, "rope_type": "split",
}  # fmt: skip
CONNECTORS = {
    "_class_name": "LTX2TextConnectors", "video_connector_num_attention_heads": 3,
    "video_connector_attention_head_dim": 2, "video_connector_num_layers": 1,
    "audio_connector_num_attention_heads": 3, "audio_connector_attention_head_dim": 2,
    "audio_connector_num_layers": 1, "rope_type": "split",
}  # fmt: skip
VAE = {
    "_class_name": "AutoencoderKLLTX2Video", "latent_channels": 2, "block_out_channels": [2, 4, 8, 8],
    "decoder_block_out_channels": [4, 8, 8, 16], "layers_per_block": [1, 2, 1, 1, 1],
    "decoder_layers_per_block": [1, 2, 1, 1, 1], "decoder_causal": False,
    "spatio_temporal_scaling": [True] * 4, "decoder_spatio_temporal_scaling": [True] * 4,
    "downsample_type": ["spatial", "temporal", "spatiotemporal", "spatiotemporal"],
    "upsample_type": ["spatiotemporal", "spatiotemporal", "temporal", "spatial"],
    "upsample_residual": [False] * 4, "upsample_factor": [2, 2, 1, 2], "decoder_inject_noise": [False] * 5,
    "encoder_spatial_padding_mode": "zeros", "decoder_spatial_padding_mode": "zeros",
}  # fmt: skip
AUDIO_VAE = {"_class_name": "AutoencoderKLLTX2Audio", "base_channels": 8, "ch_mult": [1, 1, 2]}
UPSAMPLER = {"_class_name": "LTX2LatentUpsamplerModel", "in_channels": 4, "mid_channels": 32,
             "num_blocks_per_stage": 1, "use_rational_resampler": False}  # fmt: skip


def names(component: str, section: dict[str, Any], **options: Any) -> list[str]:
    """Official names of a network's tensors."""
    entry = COMPONENTS[component]
    module: nn.Module = entry.create(section, **options)
    return [entry.keys.file_name(name) for name, _ in tree_flatten(module.parameters())]


def there_and_back(table: Renames, official: list[str]) -> None:
    other = [table.to_diffusers(name) for name in official]
    assert len(set(other)) == len(official)
    assert [table.to_official(name) for name in other] == official


@settings(max_examples=20, deadline=None)
@given(
    layers=st.integers(1, 3), heads=st.integers(1, 3), gated=st.booleans(), modulated=st.booleans(),
    projected=st.booleans(), connectors=st.integers(1, 2),
)  # fmt: skip
def test_transformers_and_connectors(
    layers: int, heads: int, gated: bool, modulated: bool, projected: bool, connectors: int
) -> None:
    config = TRANSFORMER | {
        "num_layers": layers, "num_attention_heads": heads, "cross_attention_dim": 4 * heads,
        "audio_num_attention_heads": heads, "audio_cross_attention_dim": 2 * heads, "gated_attn": gated,
        "audio_gated_attn": gated, "cross_attn_mod": modulated, "audio_cross_attn_mod": modulated,
        "use_prompt_embeddings": not projected,
    }  # fmt: skip
    text = CONNECTORS | {
        "video_connector_num_layers": connectors, "audio_connector_num_layers": connectors,
        "video_gated_attn": gated, "audio_gated_attn": gated, "per_modality_projections": projected,
        "proj_bias": projected,
    }  # fmt: skip
    if projected:
        for stream, width in (("video", 4 * heads), ("audio", 2 * heads)):
            text[f"{stream}_connector_num_attention_heads"] = 1
            text[f"{stream}_connector_attention_head_dim"] = width
    section = transformer_section(config, text)
    official = names("transformer", section)
    there_and_back(TRANSFORMER_RENAMES, official)
    assert ("model.diffusion_model.caption_projection.linear_1.weight" in official) != projected
    assert not any("adaln_single" in TRANSFORMER_RENAMES.to_diffusers(name) for name in official)

    from ltx_models.text_encoder import GemmaConfig

    gemma = GemmaConfig.from_config(
        {"model_type": "gemma3_text", "hidden_size": 6, "num_hidden_layers": 2, "intermediate_size": 4,
         "num_attention_heads": 1, "num_key_value_heads": 1}
    )  # fmt: skip
    official = names("embeddings_processor", section, gemma=gemma)
    there_and_back(CONNECTOR_RENAMES, official)
    starts = {CONNECTOR_RENAMES.to_diffusers(name).split(".")[0] for name in official}
    projections = {"video_text_proj_in", "audio_text_proj_in"} if projected else {"text_proj_in"}
    assert starts == {"video_connector", "audio_connector", *projections}


@settings(max_examples=20, deadline=None)
@given(
    kinds=st.permutations(["spatial", "temporal", "spatiotemporal"]),
    layers=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    factors=st.lists(st.integers(1, 2), min_size=3, max_size=3),
)
def test_video_vaes(kinds: list[str], layers: list[int], factors: list[int]) -> None:
    widths, ups, width, up = [], [], 8, 8
    for factor in factors:
        width, up = width * factor, up * factor
        widths.append(width)
        ups.append(up)
    section = video_vae_section(VAE | {
        "latent_channels": 8, "block_out_channels": widths, "decoder_block_out_channels": ups,
        "layers_per_block": layers, "decoder_layers_per_block": layers, "downsample_type": kinds,
        "upsample_type": kinds[::-1],
        "upsample_factor": factors, "upsample_residual": False, "decoder_inject_noise": False,
        "spatio_temporal_scaling": True, "decoder_spatio_temporal_scaling": True,
    })  # fmt: skip
    table = video_vae_renames(3, 3)
    for component in ("video_encoder", "video_decoder"):
        official = names(component, section)
        there_and_back(table, official)
        other = [table.to_diffusers(name) for name in official]
        assert any(".mid_block.resnets." in name for name in other)
        assert "latents_mean" in other
    downsamplers = {name for name in map(table.to_diffusers, names("video_encoder", section))
                    if "downsamplers" in name}  # fmt: skip
    assert {name.split(".")[2] for name in downsamplers} == {"0", "1", "2"}


def test_audio_vaes_and_vocoders() -> None:
    for component in ("audio_encoder", "audio_decoder"):
        there_and_back(AUDIO_VAE_RENAMES, names(component, audio_vae_section(AUDIO_VAE)))
    plain = {"hidden_channels": 32, "in_channels": 128}
    official = names("vocoder", vocoder_section(plain))
    there_and_back(VOCODER_RENAMES, official)
    assert VOCODER_RENAMES.to_diffusers("vocoder.resblocks.3.convs1.0.weight") == "resnets.3.convs1.0.weight"
    extended = plain | {
        "act_fn": "snakebeta", "antialias": True, "final_act_fn": None, "final_bias": False,
        "upsample_factors": [5, 4, 4, 2], "upsample_kernel_sizes": [11, 8, 8, 4], "bwe_hidden_channels": 16,
        "bwe_upsample_factors": [6, 5, 4, 2], "bwe_upsample_kernel_sizes": [12, 11, 8, 4],
        "bwe_final_bias": False,
    }  # fmt: skip
    official = names("vocoder", vocoder_section(extended))
    there_and_back(VOCODER_RENAMES, official)
    name = "vocoder.bwe_generator.act_post.downsample.lowpass.filter"
    assert name in official
    assert VOCODER_RENAMES.to_diffusers(name) == "bwe_generator.act_out.downsample.filter"


@pytest.mark.parametrize(
    ("translate", "config", "change", "message"),
    [
        (lambda c: transformer_section(c, CONNECTORS), TRANSFORMER, {"patch_size": 2}, "patch_size"),
        (lambda c: transformer_section(c, CONNECTORS), TRANSFORMER, {"audio_gated_attn": True}, "gated_attn"),
        (lambda c: transformer_section(c, CONNECTORS), TRANSFORMER, {"rope_theta": 3.0}, "rope_theta.*conn"),
        (video_vae_section, VAE, {"downsample_type": ["conv"] * 4}, "downsample_type.*'conv'.*spatial"),
        (video_vae_section, VAE, {"spatio_temporal_scaling": [True, False, True, True]}, "spatio_temporal"),
        (video_vae_section, VAE, {"upsample_residual": True}, "upsample_residual"),
        (video_vae_section, VAE, {"layers_per_block": [1, 2]}, "layers_per_block.*4 blocks"),
        (video_vae_section, VAE, {"block_out_channels": [3, 4, 8, 8]}, "block_out_channels"),
        (video_vae_section, VAE, {"upsample_factor": ["2", 2, 1, 2]}, "upsample_factor"),
        (video_vae_section, VAE, {"encoder_spatial_padding_mode": "reflect"}, "encoder_spatial_padding_mode"),
        (audio_vae_section, AUDIO_VAE, {"is_causal": False}, "is_causal"),
        (vocoder_section, {}, {"act_fn": "relu"}, "act_fn.*'relu'.*leaky_relu"),
        (vocoder_section, {}, {"antialias": True}, "antialias"),
        (vocoder_section, {}, {"in_channels": -1}, "in_channels"),
    ],
)  # fmt: skip
def test_what_official_configs_cannot_say(translate: Any, config: Any, change: Any, message: str) -> None:
    translate(config)
    with pytest.raises(ConfigError, match=message):
        translate(config | change)


def repository(folder: Path, name: str, config: dict[str, Any], tensors: dict[str, mx.array]) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "config.json").write_text(json.dumps(config))
    if tensors:
        mx.save_safetensors(str(folder / name / "diffusion_pytorch_model.safetensors"), tensors)
    return folder


def test_damaged_and_foreign_repositories(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match=r"describes 'FluxTransformer', not LTX2VideoTransformer3DModel"):
        Checkpoint.open(repository(tmp_path / "a", "transformer", {"_class_name": "FluxTransformer"}, {}))
    folder = repository(tmp_path / "b", "vae", VAE, {})
    with pytest.raises(LoaderError, match="holds no weights"):
        Checkpoint.open(folder)
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(LoaderError, match="pickle"):
        Checkpoint.open(folder)
    index = folder / "vae" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../../secret.safetensors"}}))
    with pytest.raises(LoaderError, match="outside its folder"):
        Checkpoint.open(folder)
    index.write_text(json.dumps({"weight_map": {"x": "lost.safetensors"}}))
    with pytest.raises(LoaderError, match=r"lost\.safetensors does not exist"):
        Checkpoint.open(folder)
    index.unlink()
    for name in ("a", "b"):
        mx.save_safetensors(str(folder / "vae" / f"{name}.safetensors"), {"x": mx.zeros(1)})
    with pytest.raises(LoaderError, match="several weight files"):
        Checkpoint.open(folder)
    empty = tmp_path / "c"
    empty.mkdir()
    (empty / "model_index.json").write_text("{}")
    with pytest.raises(LoaderError, match="without any of the folders"):
        Checkpoint.open(empty)
    (folder / "vae" / "config.json").write_text("[")
    with pytest.raises(LoaderError, match="not a JSON object"):
        Checkpoint.open(folder)


def test_upscalers(tmp_path: Path) -> None:
    from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig

    network = LatentUpsampler(LatentUpsamplerConfig.from_config(upsampler_config(UPSAMPLER)))
    tensors = {
        name: mx.moveaxis(value, -1, 1) if value.ndim > 1 else value
        for name, value in tree_flatten(network.parameters())
    }
    folder = repository(tmp_path, "latent_upsampler", UPSAMPLER, tensors)
    for path in (folder, folder / "latent_upsampler"):
        loaded = load_upsampler(path, mx.float32)
        for (name, got), (_, want) in zip(
            tree_flatten(loaded.parameters()), tree_flatten(network.parameters()), strict=True
        ):
            assert mx.array_equal(got, want), name
