"""The configs of a diffusers repository as sections of an official config.

diffusers spells the same facts otherwise, and leaves out what all LTX-2 networks have in common. Facts: the
constructors of its LTX-2 classes. A value that cannot be said in official terms is a ConfigError.
"""

from collections.abc import Mapping
from typing import Any

from ltx_core.errors import ConfigError
from ltx_core.maths import check_config_value

Config = Mapping[str, Any]

# diffusers' key -> official key, of values that mean the same.
TRANSFORMER_KEYS = {
    "num_layers": "num_layers",
    "num_attention_heads": "num_attention_heads",
    "attention_head_dim": "attention_head_dim",
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "cross_attention_dim": "cross_attention_dim",
    "caption_channels": "caption_channels",
    "audio_num_attention_heads": "audio_num_attention_heads",
    "audio_attention_head_dim": "audio_attention_head_dim",
    "audio_in_channels": "audio_in_channels",
    "audio_out_channels": "audio_out_channels",
    "audio_cross_attention_dim": "audio_cross_attention_dim",
    "activation_fn": "activation_fn",
    "attention_bias": "attention_bias",
    "norm_eps": "norm_eps",
    "norm_elementwise_affine": "norm_elementwise_affine",
    "rope_theta": "positional_embedding_theta",
    "rope_type": "rope_type",
    "timestep_scale_multiplier": "timestep_scale_multiplier",
    "cross_attn_timestep_scale_multiplier": "av_ca_timestep_scale_multiplier",
    "gated_attn": "apply_gated_attention",
    "cross_attn_mod": "cross_attention_adaln",
    "ff_bias": "ff_bias",
    "audio_ff_bias": "audio_ff_bias",
    "use_prompt_adaln_single": "use_prompt_adaln_single",
    "use_keyframes_abs_pos_embedding": "use_keyframes_abs_pos_embedding",
}
TRANSFORMER_FIXED = {
    "patch_size": 1,
    "patch_size_t": 1,
    "audio_patch_size": 1,
    "audio_patch_size_t": 1,
    "attention_out_bias": True,
    "qk_norm": "rms_norm_across_heads",
    "causal_offset": 1,
}
CONNECTOR_KEYS = {
    "video_connector_num_attention_heads": "connector_num_attention_heads",
    "video_connector_attention_head_dim": "connector_attention_head_dim",
    "video_connector_num_layers": "connector_num_layers",
    "video_connector_num_learnable_registers": "connector_num_learnable_registers",
    "audio_connector_num_attention_heads": "audio_connector_num_attention_heads",
    "audio_connector_attention_head_dim": "audio_connector_attention_head_dim",
    "audio_connector_num_layers": "audio_connector_num_layers",
    "video_gated_attn": "connector_apply_gated_attention",
}
AUDIO_VAE_KEYS = {
    "base_channels": "ch",
    "output_channels": "out_ch",
    "latent_channels": "z_channels",
    **{
        key: key
        for key in (
            "in_channels", "ch_mult", "num_res_blocks", "resolution", "dropout", "mid_block_add_attention",
            "norm_type", "causality_axis", "mel_bins", "double_z",
        )
    },
}  # fmt: skip
VOCODER_KEYS = {
    "hidden_channels": "upsample_initial_channel",
    "upsample_factors": "upsample_rates",
    "upsample_kernel_sizes": "upsample_kernel_sizes",
    "resnet_kernel_sizes": "resblock_kernel_sizes",
    "resnet_dilations": "resblock_dilation_sizes",
    "final_bias": "use_bias_at_final",
}
UPSAMPLER_KEYS = {
    **{
        key: key
        for key in (
            "in_channels", "mid_channels", "num_blocks_per_stage", "dims", "spatial_upsample",
            "temporal_upsample",
        )
    },
    "rational_spatial_scale": "spatial_scale",
    "use_rational_resampler": "rational_resampler",
}  # fmt: skip
ROPE_DEFAULTS = {"rope_theta": 10000.0, "rope_type": "interleaved", "rope_double_precision": True}


def _renamed(config: Config, keys: Mapping[str, str]) -> dict[str, Any]:
    return {official: config[key] for key, official in keys.items() if key in config}


def _same(config: Config, key: str, other: str, default: object = None) -> None:
    """Two keys that official configs have one of."""
    if config.get(key, default) != config.get(other, default):
        raise ConfigError(
            f"config keys {key!r} and {other!r} are {config.get(key, default)!r} and "
            f"{config.get(other, default)!r}; supported: the same value"
        )


def transformer_section(config: Config, connectors: Config | None) -> dict[str, Any]:
    """`transformer` from `transformer/config.json` and `connectors/config.json` (None: not there).

    Raises:
        ConfigError: a value that official checkpoints have no word for.
    """
    for key, value in TRANSFORMER_FIXED.items():
        check_config_value(config, key, value)
    _same(config, "gated_attn", "audio_gated_attn", False)
    _same(config, "cross_attn_mod", "audio_cross_attn_mod", False)
    section = {"_class_name": "AVTransformer3DModel", **_renamed(config, TRANSFORMER_KEYS)}
    for key in ("in_channels", "audio_in_channels"):
        out = key.replace("in", "out")
        if section.get(out) is None and key in section:
            section[out] = section[key]
    section["positional_embedding_max_pos"] = [
        config.get("pos_embed_max_pos", 20),
        config.get("base_height", 2048),
        config.get("base_width", 2048),
    ]
    section["audio_positional_embedding_max_pos"] = [config.get("audio_pos_embed_max_pos", 20)]
    # Constructors' defaults, where the official reader has others.
    section.setdefault("rope_type", "interleaved")
    section.setdefault("av_ca_timestep_scale_multiplier", 1000)
    section["frequencies_precision"] = "float64" if config.get("rope_double_precision", True) else "float32"
    if not config.get("use_prompt_embeddings", True):
        section["caption_proj_before_connector"] = True
    return section if connectors is None else section | _connector_keys(config, connectors)


def _connector_keys(transformer: Config, config: Config) -> dict[str, Any]:
    """What the official section `transformer` says of the connectors."""
    # One key stands for both networks in official configs; defaults are the constructors'.
    for key, default in ROPE_DEFAULTS.items():
        if config.get(key, default) != transformer.get(key, default):
            raise ConfigError(
                f"config key {key!r} is {config.get(key, default)!r} for the connectors and "
                f"{transformer.get(key, default)!r} for the transformer; supported: the same value"
            )
    check_config_value(config, "causal_temporal_positioning", False)
    _same(config, "video_gated_attn", "audio_gated_attn", False)
    _same(config, "video_connector_num_learnable_registers", "audio_connector_num_learnable_registers", 128)
    keys = {
        "use_embeddings_connector": True,
        **_renamed(config, CONNECTOR_KEYS),
        "connector_positional_embedding_max_pos": [config.get("connector_rope_base_seq_len", 4096)],
    }
    if config.get("per_modality_projections", False):
        check_config_value(config, "proj_bias", True)
        keys |= {
            "caption_proj_before_connector": True,
            "caption_projection_first_linear": False,
            "caption_proj_input_norm": False,
            "caption_projection_second_linear": False,
            "text_encoder_norm_type": "per_token_rms",
        }
    return keys


def audio_vae_section(config: Config) -> dict[str, Any]:
    """`audio_vae` from `audio_vae/config.json`."""
    check_config_value(config, "is_causal", True)
    attention = list(config.get("attn_resolutions") or ())
    network = {"attn_resolutions": attention, "mid_block_add_attention": False, "mel_bins": 64}
    rate = config.get("sample_rate", 16000)
    return {
        "model": {"params": {"ddconfig": network | _renamed(config, AUDIO_VAE_KEYS),
                             "sampling_rate": rate}},
        "preprocessing": {
            "audio": {"sampling_rate": rate, "stereo": True},
            "stft": {"hop_length": config.get("mel_hop_length", 160)},
        },
    }  # fmt: skip


def vocoder_section(config: Config) -> dict[str, Any]:
    """`vocoder` from `vocoder/config.json`: flat, or with the bandwidth extension beside it.

    Raises:
        ConfigError: a value that official checkpoints have no word for.
    """
    if not any(key.startswith("bwe_") for key in config):
        rate = config.get("output_sampling_rate", 24000)
        return _generator(config, "leaky_relu", "tanh") | {"output_sampling_rate": rate}
    extension = {key.removeprefix("bwe_"): value for key, value in config.items() if key.startswith("bwe_")}
    return {
        "vocoder": _generator(config, "snakebeta", None),
        "bwe": {
            **_generator(extension, "snakebeta", None),
            "apply_final_activation": False,
            "n_fft": config.get("filter_length", 512),
            "win_length": config.get("window_length", 512),
            "hop_length": config.get("hop_length", 80),
            "num_mels": config.get("num_mel_channels", 64),
            "input_sampling_rate": config.get("input_sampling_rate", 16000),
            "output_sampling_rate": config.get("output_sampling_rate", 48000),
        },
    }


def _generator(config: Config, activation: str, final: str | None) -> dict[str, Any]:
    """One vocoder network; `activation` and `final` are what an absent key means."""
    activation, final = config.get("act_fn", activation), config.get("final_act_fn", final)
    if activation not in ("leaky_relu", "snakebeta") or final not in ("tanh", "clamp", None):
        raise ConfigError(
            f"config keys 'act_fn' and 'final_act_fn' are {activation!r} and {final!r}; supported: "
            "'leaky_relu' or 'snakebeta', 'tanh', 'clamp' or null"
        )
    smooth = activation == "snakebeta"
    fixed = {"out_channels": 2, "antialias": smooth, "antialias_ratio": 2, "antialias_kernel_size": 12,
             "leaky_relu_negative_slope": 0.1}  # fmt: skip
    for key, value in fixed.items():
        check_config_value(config, key, value)
    return {
        **_renamed(config, VOCODER_KEYS),
        "resblock": "AMP1" if smooth else "1",
        "stereo": True,
        **({"activation": activation} if smooth else {}),
        "use_tanh_at_final": final == "tanh",
        "num_mels": number(config, "in_channels", 128) // 2,
    }


def upsampler_config(config: Config) -> dict[str, Any]:
    """The config of an upscaler file from `latent_upsampler/config.json`."""
    defaults = {"mid_channels": 1024, "rational_resampler": True}
    return {"_class_name": "LatentUpsampler"} | defaults | _renamed(config, UPSAMPLER_KEYS)


def number(config: Config, key: str, default: int) -> int:
    """A positive integer of a config.

    Raises:
        ConfigError: it is something else.
    """
    value = config.get(key, default)
    if type(value) is not int or value < 1:
        raise ConfigError(f"config key {key!r} is {value!r}; it must be a positive integer")
    return value
