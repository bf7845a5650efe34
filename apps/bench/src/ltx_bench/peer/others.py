"""The video autoencoder of diffusers, and Gemma of transformers."""

from importlib.metadata import version
from typing import Any

import torch
from measuring import Run, filled
from official import Config, Entry, Request, latent_of, pixels_of

KINDS = {"compress_space": "spatial", "compress_time": "temporal", "compress_all": "spatiotemporal"}


def vae_arguments(section: Config) -> Config:
    """What the class of diffusers is made with, from the official config."""
    widths, width = [], section["latent_channels"]
    for _, settings in section["encoder_blocks"][1::2]:
        width *= settings["multiplier"]
        widths.append(width)
    # Official lists of the decoder begin at the pixels, as those of diffusers do.
    blocks = section["decoder_blocks"]
    ups, up_widths, width = blocks[1::2], [], section["decoder_base_channels"]
    for _, settings in ups:
        width *= settings["multiplier"]
        up_widths.append(width)
    padding = section.get("spatial_padding_mode")
    return {
        "latent_channels": section["latent_channels"],
        "block_out_channels": widths,
        "decoder_block_out_channels": up_widths,
        "layers_per_block": [settings["num_layers"] for _, settings in section["encoder_blocks"][::2]],
        "decoder_layers_per_block": [settings["num_layers"] for _, settings in blocks[::2]],
        "spatio_temporal_scaling": [True] * len(widths),
        "decoder_spatio_temporal_scaling": [True] * len(ups),
        "decoder_inject_noise": [False] * (len(ups) + 1),
        "downsample_type": [KINDS[name.removesuffix("_res")] for name, _ in section["encoder_blocks"][1::2]],
        # This one alone begins at the latent.
        "upsample_type": [KINDS[name] for name, _ in reversed(ups)],
        "upsample_residual": [settings.get("residual", False) for _, settings in ups],
        "upsample_factor": [settings["multiplier"] for _, settings in ups],
        "patch_size": section["patch_size"],
        "decoder_causal": section["causal_decoder"],
        "encoder_spatial_padding_mode": padding or "zeros",
        "decoder_spatial_padding_mode": padding or "reflect",
    }


def build_vae(config: Config, device: str, dtype: torch.dtype) -> Any:
    from diffusers import AutoencoderKLLTX2Video

    return filled(lambda: AutoencoderKLLTX2Video(**vae_arguments(config["vae"])), device, dtype)


def build_decoder(config: Config, device: str, dtype: torch.dtype) -> Any:
    vae = build_vae(config, device, dtype)
    vae.encoder = None
    return vae


def build_encoder(config: Config, device: str, dtype: torch.dtype) -> Any:
    vae = build_vae(config, device, dtype)
    vae.decoder = None
    return vae


def run_decoder(vae: Any, request: Request, device: str, dtype: torch.dtype) -> Run:
    latent = latent_of(request, device, dtype)
    return lambda: vae.decode(latent, return_dict=False)


def run_encoder(vae: Any, request: Request, device: str, dtype: torch.dtype) -> Run:
    pixels = pixels_of(request, device, dtype)
    return lambda: vae.encode(pixels, return_dict=False)


def diffusers_version() -> str:
    return version("diffusers")


def build_gemma(config: Config, device: str, dtype: torch.dtype) -> Any:
    from transformers import Gemma3TextConfig, Gemma3TextModel

    sizes = dict(config["gemma"])
    for key in ("model_type", "rope_scaling", "rope_theta", "rope_local_base_freq"):
        sizes.pop(key, None)
    settings = Gemma3TextConfig(**sizes, attn_implementation="sdpa")
    return filled(lambda: Gemma3TextModel(settings), device, dtype)


def run_gemma(network: Any, request: Request, device: str, dtype: torch.dtype) -> Run:
    count, vocabulary = request["sizes"]["count"], request["config"]["gemma"]["vocab_size"]
    ids = torch.randint(0, vocabulary, (1, count), device=device)
    mask = torch.ones_like(ids)
    return lambda: network(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)


def transformers_version() -> str:
    return version("transformers")


DIFFUSERS: dict[str, Entry] = {
    "video-decode": (build_decoder, run_decoder, diffusers_version),
    "video-encode": (build_encoder, run_encoder, diffusers_version),
}
TRANSFORMERS: dict[str, Entry] = {"gemma": (build_gemma, run_gemma, transformers_version)}
