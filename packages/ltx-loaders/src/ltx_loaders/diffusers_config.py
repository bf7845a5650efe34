"""The configs of a diffusers repository as sections of an official config.

diffusers spells the same facts otherwise, and leaves out what all LTX-2 networks have in common. Facts: the
constructors of its LTX-2 classes. A value that cannot be said in official terms is a ConfigError.
"""

from collections.abc import Mapping, Sequence
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
SAMPLING = {"spatial": "compress_space", "temporal": "compress_time", "spatiotemporal": "compress_all"}


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


def video_vae_section(config: Config) -> dict[str, Any]:
    """`vae` from `vae/config.json`.

    Raises:
        ConfigError: a value that official checkpoints have no word for, or lists that do not match.
    """
    check_config_value(config, "patch_size_t", 1)
    check_config_value(config, "encoder_causal", True)
    check_config_value(config, "scaling_factor", 1.0)
    latent_channels = _number(config, "latent_channels", 128)
    down = _numbers(config, "block_out_channels", (256, 512, 1024, 2048))
    layers = _numbers(config, "layers_per_block", (4, 6, 6, 2, 2))
    encoder: list[Any] = []
    width = latent_channels
    kinds = config.get("downsample_type", ("spatial", "temporal", "spatiotemporal", "spatiotemporal"))
    _lengths(config, len(down), layers_per_block=layers[1:], downsample_type=kinds)
    for count, out, kind in zip(layers, down, kinds, strict=False):
        if width == 0 or out % width:
            raise ConfigError(f"config key 'block_out_channels' is {down!r}; each must divide the next")
        block = f"{_sampling('downsample_type', kind)}_res"
        encoder += [["res_x", {"num_layers": count}], [block, {"multiplier": out // width}]]
        width = out
    encoder.append(["res_x", {"num_layers": layers[-1]}])

    # Reversed like the official decoder's blocks, apart from the types, which are in running order.
    up = _numbers(config, "decoder_block_out_channels", (256, 512, 1024))
    layers = _numbers(config, "decoder_layers_per_block", (5, 5, 5, 5))
    factors = _numbers(config, "upsample_factor", (2, 2, 2))
    residuals = _flags(config, "upsample_residual", len(up), True)
    noises = _flags(config, "decoder_inject_noise", len(layers), False)
    kinds = config.get("upsample_type", ("spatiotemporal",) * 3)
    _lengths(config, len(up), decoder_layers_per_block=layers[1:], upsample_factor=factors,
             upsample_residual=residuals, decoder_inject_noise=noises[1:], upsample_type=kinds)  # fmt: skip
    decoder = [["res_x", {"num_layers": layers[0], "inject_noise": noises[0]}]]
    for index, kind in enumerate(reversed(kinds)):
        block = _sampling("upsample_type", kind)
        if residuals[index] and block != "compress_all":
            raise ConfigError(
                f"config key 'upsample_residual' is true for an upsampling of type {kind!r}; supported: "
                "with 'spatiotemporal' only"
            )
        decoder.append([block, {"multiplier": factors[index], "residual": residuals[index]}])
        decoder.append(["res_x", {"num_layers": layers[index + 1], "inject_noise": noises[index + 1]}])
    if not factors[0] or up[0] % factors[0]:
        raise ConfigError(
            f"config key 'decoder_block_out_channels' is {up!r}; supported: a first width that the first "
            f"'upsample_factor', {factors[0]}, divides"
        )
    return {
        "_class_name": "CausalVideoAutoencoder",
        "dims": 3,
        "norm_layer": "pixel_norm",
        "latent_log_var": "uniform",
        "in_channels": config.get("in_channels", 3),
        "out_channels": config.get("out_channels", 3),
        "latent_channels": latent_channels,
        "patch_size": config.get("patch_size", 4),
        "timestep_conditioning": config.get("timestep_conditioning", False),
        "causal_decoder": config.get("decoder_causal", True),
        "decoder_base_channels": up[0] // factors[0],
        "encoder_blocks": encoder,
        "decoder_blocks": decoder,
        **_padding(config),
    }


def _padding(config: Config) -> dict[str, Any]:
    """Official configs say it once for both, or else for the encoder alone, and the decoder mirrors."""
    encoder = config.get("encoder_spatial_padding_mode", "zeros")
    decoder = config.get("decoder_spatial_padding_mode", "reflect")
    if encoder == decoder:
        return {"spatial_padding_mode": encoder}
    if decoder != "reflect":
        raise ConfigError(
            f"config keys 'encoder_spatial_padding_mode' and 'decoder_spatial_padding_mode' are {encoder!r} "
            f"and {decoder!r}; supported: the same for both, or 'reflect' for the decoder"
        )
    return {"encoder_spatial_padding_mode": encoder}


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
        "num_mels": _number(config, "in_channels", 128) // 2,
    }


def upsampler_config(config: Config) -> dict[str, Any]:
    """The config of an upscaler file from `latent_upsampler/config.json`."""
    defaults = {"mid_channels": 1024, "rational_resampler": True}
    return {"_class_name": "LatentUpsampler"} | defaults | _renamed(config, UPSAMPLER_KEYS)


def _number(config: Config, key: str, default: int) -> int:
    value = config.get(key, default)
    if type(value) is not int or value < 1:
        raise ConfigError(f"config key {key!r} is {value!r}; it must be a positive integer")
    return value


def _numbers(config: Config, key: str, default: Sequence[int]) -> list[int]:
    value = config.get(key, default)
    if not isinstance(value, list | tuple) or not all(type(item) is int and item > 0 for item in value):
        raise ConfigError(f"config key {key!r} is {value!r}; it must be a list of positive integers")
    return list(value)


def _flags(config: Config, key: str, count: int, default: bool) -> list[bool]:
    value = config.get(key, default)
    if isinstance(value, bool):
        return [value] * count
    if not isinstance(value, list | tuple) or not all(isinstance(item, bool) for item in value):
        raise ConfigError(f"config key {key!r} is {value!r}; it must be a list of true and false")
    return list(value)


def _lengths(config: Config, count: int, **lists: Any) -> None:
    """Lists that go with `count` resamplings; all of them must be there."""
    for key in ("spatio_temporal_scaling", "decoder_spatio_temporal_scaling"):
        if not all(_flags(config, key, 1, True)):
            raise ConfigError(f"config key {key!r} is {config[key]!r}; supported: true for every block")
    for key, value in lists.items():
        if not isinstance(value, list | tuple) or len(value) != count or not value:
            raise ConfigError(f"config key {key!r} is {config.get(key, value)!r}; its length does not match "
                              f"the {count} blocks")  # fmt: skip


def _sampling(key: str, kind: object) -> str:
    if not isinstance(kind, str) or kind not in SAMPLING:
        raise ConfigError(f"config key {key!r} has {kind!r}; supported: {', '.join(SAMPLING)}")
    return SAMPLING[kind]
