"""The config of diffusers' video VAE as a section of an official config.

The official one lists blocks, diffusers describes them by parallel lists. Facts: the constructors of
`AutoencoderKLLTX2Video` and its parts.
"""

from collections.abc import Sequence
from typing import Any

from ltx_core.errors import ConfigError
from ltx_core.maths import check_config_value

from ltx_loaders.diffusers_config import Config, number

SAMPLING = {"spatial": "compress_space", "temporal": "compress_time", "spatiotemporal": "compress_all"}


def video_vae_section(config: Config) -> dict[str, Any]:
    """`vae` from `vae/config.json`.

    Raises:
        ConfigError: a value that official checkpoints have no word for, or lists that do not match.
    """
    check_config_value(config, "patch_size_t", 1)
    check_config_value(config, "encoder_causal", True)
    check_config_value(config, "scaling_factor", 1.0)
    latent_channels = number(config, "latent_channels", 128)
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
