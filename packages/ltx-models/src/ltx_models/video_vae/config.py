"""What a checkpoint says about its convolutional video VAE (`config["vae"]`)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from ltx_core.errors import ConfigError
from ltx_core.maths import check_config_value
from ltx_core.types import SpatioTemporalScaleFactors

PaddingMode = Literal["zeros", "reflect"]
Stride = tuple[int, int, int]

# Resampling blocks and their (time, height, width) strides. Encoder blocks end in "_res".
STRIDES: dict[str, Stride] = {
    "compress_space": (1, 2, 2),
    "compress_time": (2, 1, 1),
    "compress_all": (2, 2, 2),
}

# Channels of the encoder's output beside the means, which are all that is used of it.
LOG_VARIANCE_CHANNELS: dict[str, Callable[[int], int]] = {
    "uniform": lambda latent_channels: 1,
    "constant": lambda latent_channels: 1,
    "per_channel": lambda latent_channels: latent_channels,
}


@dataclass(frozen=True)
class BlockConfig:
    """One entry of `encoder_blocks` or `decoder_blocks`.

    Attributes:
        name: the official name: "res_x", "compress_all", "compress_all_res" and so on.
        num_layers: residual blocks of a "res_x".
        multiplier: by how much a resampling block multiplies (encoder) or divides (decoder) the channels.
        residual: whether an upsampling block has a skip connection.
    """

    name: str
    num_layers: int = 0
    multiplier: int = 1
    residual: bool = False

    @property
    def stride(self) -> Stride:
        """(time, height, width) factors of a resampling block; (1, 1, 1) for "res_x"."""
        return STRIDES.get(self.name.removesuffix("_res"), (1, 1, 1))


def _parse_block(key: str, entry: Any, names: Sequence[str], default_multiplier: int) -> BlockConfig:
    if not (isinstance(entry, Sequence) and len(entry) == 2 and isinstance(entry[0], str)):
        raise ConfigError(f"config key {key!r}: a block is [name, settings], got {entry!r}")
    name, settings = entry
    if isinstance(settings, int):
        settings = {"num_layers": settings}
    if name not in names or not isinstance(settings, Mapping):
        raise ConfigError(f"config key {key!r} has the block {entry!r}; supported: {', '.join(names)}")
    if name == "res_x":
        if "num_layers" not in settings:
            raise ConfigError(f"config key {key!r}: block 'res_x' needs 'num_layers', got {dict(settings)!r}")
        if settings.get("inject_noise", False):
            raise ConfigError(
                f"config key {key!r}: block 'res_x' with inject_noise true is not supported (only false): "
                "no released video VAE adds noise while it decodes"
            )
        return BlockConfig(name, num_layers=settings["num_layers"])
    multiplier = settings.get("multiplier", default_multiplier)
    # The official decoder looks at "residual" for this block only.
    residual = name == "compress_all" and bool(settings.get("residual", False))
    return BlockConfig(name, multiplier=multiplier, residual=residual)


def _padding(config: Mapping[str, Any], keys: Sequence[str], default: PaddingMode) -> PaddingMode:
    for key in keys:
        if key in config:
            value = config[key]
            if value not in ("zeros", "reflect"):
                raise ConfigError(f"config key {key!r} is {value!r}; supported: 'zeros', 'reflect'")
            mode: PaddingMode = value
            return mode
    return default


def _scale_factors(blocks: Sequence[BlockConfig], patch_size: int) -> SpatioTemporalScaleFactors:
    time, height, width = (math.prod(block.stride[axis] for block in blocks) for axis in range(3))
    return SpatioTemporalScaleFactors(time, height * patch_size, width * patch_size)


@dataclass(frozen=True)
class VideoVAEConfig:
    """Encoder and decoder of the convolutional video VAE.

    Attributes:
        in_channels, out_channels: of the pixels (3, RGB).
        latent_channels: of the latent, and the width of the encoder's first layers.
        patch_size: edge of the pixel squares that become channels before the encoder and pixels again after
            the decoder.
        encoder_blocks: in the order in which they run.
        decoder_blocks: in the order in which they run (checkpoints list them the other way round).
        decoder_base_channels: width of the decoder's last blocks.
        encoder_padding, decoder_padding: how convolutions pad height and width.
        causal_decoder: whether the decoder's convolutions see past frames only; the encoder's always do.
        latent_log_var: how many log variances the encoder's last layer computes (they are not used).
        scale_factors: pixels per latent along time, height and width.
    """

    encoder_blocks: tuple[BlockConfig, ...]
    decoder_blocks: tuple[BlockConfig, ...]
    scale_factors: SpatioTemporalScaleFactors
    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 128
    patch_size: int = 4
    decoder_base_channels: int = 128
    encoder_padding: PaddingMode = "zeros"
    decoder_padding: PaddingMode = "reflect"
    causal_decoder: bool = False
    latent_log_var: str = "uniform"

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Self:
        """From a checkpoint's `config["vae"]`; an absent key has the official default.

        Raises:
            ConfigError: a missing block list, or a value that these networks cannot honour.
        """
        check_config_value(section, "_class_name", "CausalVideoAutoencoder")
        check_config_value(section, "dims", 3)
        check_config_value(section, "norm_layer", "pixel_norm")
        check_config_value(section, "use_quant_conv", False)
        check_config_value(section, "normalize_latent_channels", False)
        if section.get("timestep_conditioning", True):
            raise ConfigError(
                "config key 'timestep_conditioning' is true (also its meaning when it is absent); supported: "
                "false, as in every released LTX-2 checkpoint"
            )
        latent_log_var = section.get("latent_log_var", "uniform")
        if latent_log_var not in LOG_VARIANCE_CHANNELS:
            raise ConfigError(
                f"config key 'latent_log_var' is {latent_log_var!r}; supported: "
                + ", ".join(map(repr, LOG_VARIANCE_CHANNELS))
            )
        for key in ("encoder_blocks", "decoder_blocks"):
            if not section.get(key):
                raise ConfigError(f"config key {key!r} is missing from the section 'vae'")
        encoder_names = ["res_x", *(f"{name}_res" for name in STRIDES)]
        decoder_names = ["res_x", *STRIDES]
        encoder = tuple(
            _parse_block("encoder_blocks", entry, encoder_names, 2) for entry in section["encoder_blocks"]
        )
        decoder = tuple(
            _parse_block("decoder_blocks", entry, decoder_names, 1) for entry in section["decoder_blocks"]
        )
        patch_size = section.get("patch_size", 4)
        factors = _scale_factors(encoder, patch_size)
        if factors != _scale_factors(decoder, patch_size):
            raise ConfigError(
                f"config keys 'encoder_blocks' and 'decoder_blocks' disagree on the pixels per latent: "
                f"{tuple(factors)} and {tuple(_scale_factors(decoder, patch_size))} (time, height, width)"
            )
        return cls(
            encoder_blocks=encoder,
            decoder_blocks=decoder[::-1],
            scale_factors=factors,
            in_channels=section.get("in_channels", 3),
            out_channels=section.get("out_channels", 3),
            latent_channels=section.get("latent_channels", 128),
            patch_size=patch_size,
            decoder_base_channels=section.get("decoder_base_channels", 128),
            encoder_padding=_padding(
                section, ("spatial_padding_mode", "encoder_spatial_padding_mode"), "zeros"
            ),
            decoder_padding=_padding(section, ("spatial_padding_mode",), "reflect"),
            causal_decoder=bool(section.get("causal_decoder", False)),
            latent_log_var=latent_log_var,
        )

    @property
    def encoder_out_channels(self) -> int:
        """Channels of the encoder's last convolution: means, then log variances."""
        return self.latent_channels + LOG_VARIANCE_CHANNELS[self.latent_log_var](self.latent_channels)

    @property
    def decoder_in_channels(self) -> int:
        """Width of the decoder's first blocks; upsampling divides it, down to `decoder_base_channels`."""
        return self.decoder_base_channels * math.prod(block.multiplier for block in self.decoder_blocks)
