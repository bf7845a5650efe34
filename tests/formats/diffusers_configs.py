"""Configs of diffusers' LTX-2 classes for the networks of an official config.

Written from the constructors and the conversion script, apart from the loader's own table, so that a mistake
must be made twice to go unseen.
"""

from typing import Any

import mlx.core as mx

KINDS = {"compress_space": "spatial", "compress_time": "temporal", "compress_all": "spatiotemporal"}


def diffusers_configs(config: dict[str, Any], tensors: dict[str, mx.array]) -> dict[str, dict[str, Any]]:
    """Folder -> config.json."""
    return {
        "transformer": _transformer(config["transformer"]),
        "connectors": _connectors(config["transformer"], tensors),
        "vae": _vae(config["vae"]),
        "audio_vae": _audio_vae(config["audio_vae"]),
        "vocoder": _vocoder(config["vocoder"]),
    }


def _transformer(c: dict[str, Any]) -> dict[str, Any]:
    gated, modulated = c.get("apply_gated_attention", False), c.get("cross_attention_adaln", False)
    return {
        "_class_name": "LTX2VideoTransformer3DModel",
        "in_channels": c["in_channels"], "out_channels": c["out_channels"],
        "patch_size": 1, "patch_size_t": 1, "num_attention_heads": c["num_attention_heads"],
        "attention_head_dim": c["attention_head_dim"], "cross_attention_dim": c["cross_attention_dim"],
        "vae_scale_factors": [8, 32, 32],
        "pos_embed_max_pos": c["positional_embedding_max_pos"][0],
        "base_height": c["positional_embedding_max_pos"][1],
        "base_width": c["positional_embedding_max_pos"][2],
        "gated_attn": gated, "cross_attn_mod": modulated,
        "audio_in_channels": c["audio_in_channels"], "audio_out_channels": c["audio_out_channels"],
        "audio_patch_size": 1, "audio_patch_size_t": 1,
        "audio_num_attention_heads": c["audio_num_attention_heads"],
        "audio_attention_head_dim": c["audio_attention_head_dim"],
        "audio_cross_attention_dim": c["audio_cross_attention_dim"], "audio_scale_factor": 4,
        "audio_pos_embed_max_pos": c["audio_positional_embedding_max_pos"][0],
        "audio_gated_attn": gated, "audio_cross_attn_mod": modulated, "num_layers": c["num_layers"],
        "activation_fn": "gelu-approximate", "qk_norm": "rms_norm_across_heads",
        "norm_elementwise_affine": False, "norm_eps": c["norm_eps"],
        "caption_channels": c["caption_channels"],
        "attention_bias": True, "attention_out_bias": True, "rope_theta": c["positional_embedding_theta"],
        "rope_double_precision": c["frequencies_precision"] == "float64", "causal_offset": 1,
        "timestep_scale_multiplier": c["timestep_scale_multiplier"],
        "cross_attn_timestep_scale_multiplier": int(c["av_ca_timestep_scale_multiplier"]),
        "rope_type": c["rope_type"],
        "use_prompt_embeddings": not c.get("caption_proj_before_connector", False),
        "perturbed_attn": modulated,
    }  # fmt: skip


def _connectors(c: dict[str, Any], tensors: dict[str, mx.array]) -> dict[str, Any]:
    projected = c.get("caption_proj_before_connector", False)
    name = "video_aggregate_embed" if projected else "aggregate_embed"
    gated = c.get("connector_apply_gated_attention", False)
    config = {
        "_class_name": "LTX2TextConnectors", "caption_channels": c["caption_channels"],
        "text_proj_in_factor":
            tensors[f"text_embedding_projection.{name}.weight"].shape[1] // c["caption_channels"],
        "video_gated_attn": gated, "audio_gated_attn": gated,
        "connector_rope_base_seq_len": c["connector_positional_embedding_max_pos"][0],
        "rope_theta": c["positional_embedding_theta"], "rope_type": c["rope_type"],
        "rope_double_precision": c["frequencies_precision"] == "float64",
        "causal_temporal_positioning": False, "per_modality_projections": projected, "proj_bias": projected,
    }  # fmt: skip
    for key in ("num_attention_heads", "attention_head_dim", "num_layers", "num_learnable_registers"):
        video = c[f"connector_{key}"]
        config[f"video_connector_{key}"] = video
        config[f"audio_connector_{key}"] = c.get(f"audio_connector_{key}", video)
    return config


def _vae(c: dict[str, Any]) -> dict[str, Any]:
    widths, width = [], c["latent_channels"]
    for _, settings in c["encoder_blocks"][1::2]:
        width *= settings["multiplier"]
        widths.append(width)
    running = list(reversed(c["decoder_blocks"]))
    ups, layers = running[1::2], [settings["num_layers"] for _, settings in running[::2]]
    up_widths, width = [], c["decoder_base_channels"]
    for _, settings in reversed(ups):
        width *= settings["multiplier"]
        up_widths.append(width)
    padding = c.get("spatial_padding_mode")
    return {
        "_class_name": "AutoencoderKLLTX2Video", "in_channels": 3, "out_channels": 3,
        "latent_channels": c["latent_channels"], "block_out_channels": widths,
        "decoder_block_out_channels": up_widths,
        "layers_per_block": [settings["num_layers"] for _, settings in c["encoder_blocks"][::2]],
        "decoder_layers_per_block": layers[::-1],
        "spatio_temporal_scaling": [True] * len(widths), "decoder_spatio_temporal_scaling": [True] * len(ups),
        "decoder_inject_noise": [False] * len(layers),
        "downsample_type": [KINDS[name.removesuffix("_res")] for name, _ in c["encoder_blocks"][1::2]],
        "upsample_type": [KINDS[name] for name, _ in ups],
        "upsample_residual": [settings.get("residual", False) for _, settings in reversed(ups)],
        "upsample_factor": [settings["multiplier"] for _, settings in reversed(ups)],
        "timestep_conditioning": c["timestep_conditioning"], "patch_size": c["patch_size"], "patch_size_t": 1,
        "resnet_norm_eps": 1e-6, "scaling_factor": 1.0, "encoder_causal": True,
        "decoder_causal": c["causal_decoder"], "encoder_spatial_padding_mode": padding or "zeros",
        "decoder_spatial_padding_mode": padding or "reflect",
    }  # fmt: skip


def _audio_vae(c: dict[str, Any]) -> dict[str, Any]:
    network = c["model"]["params"]["ddconfig"]
    return {
        "_class_name": "AutoencoderKLLTX2Audio", "base_channels": network["ch"],
        "output_channels": network["out_ch"], "ch_mult": network["ch_mult"],
        "num_res_blocks": network["num_res_blocks"], "attn_resolutions": None,
        "in_channels": network["in_channels"], "resolution": network["resolution"],
        "latent_channels": network["z_channels"], "norm_type": "pixel", "causality_axis": "height",
        "dropout": 0.0, "mid_block_add_attention": False,
        "sample_rate": c["model"]["params"]["sampling_rate"],
        "mel_hop_length": c["preprocessing"]["stft"]["hop_length"], "is_causal": True,
        "mel_bins": network["mel_bins"], "double_z": True,
    }  # fmt: skip


def _vocoder(c: dict[str, Any]) -> dict[str, Any]:
    if "bwe" not in c:
        return {
            "_class_name": "LTX2Vocoder", **_generator(c, "leaky_relu", "tanh"),
            "output_sampling_rate": c["output_sampling_rate"],
        }  # fmt: skip
    bwe = c["bwe"]
    extension = {f"bwe_{key}": value for key, value in _generator(bwe, "snakebeta", None).items()}
    return {
        "_class_name": "LTX2VocoderWithBWE", **_generator(c["vocoder"], "snakebeta", None), **extension,
        "filter_length": bwe["n_fft"], "hop_length": bwe["hop_length"], "window_length": bwe["n_fft"],
        "num_mel_channels": bwe["num_mels"], "input_sampling_rate": bwe["input_sampling_rate"],
        "output_sampling_rate": bwe["output_sampling_rate"],
    }  # fmt: skip


def _generator(c: dict[str, Any], activation: str, final: str | None) -> dict[str, Any]:
    return {
        "in_channels": 128, "hidden_channels": c["upsample_initial_channel"], "out_channels": 2,
        "upsample_kernel_sizes": c["upsample_kernel_sizes"], "upsample_factors": c["upsample_rates"],
        "resnet_kernel_sizes": c["resblock_kernel_sizes"], "resnet_dilations": c["resblock_dilation_sizes"],
        "act_fn": activation, "leaky_relu_negative_slope": 0.1, "antialias": activation == "snakebeta",
        "final_act_fn": final, "final_bias": c.get("use_bias_at_final", True),
    }  # fmt: skip
