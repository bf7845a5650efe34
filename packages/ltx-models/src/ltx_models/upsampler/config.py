"""What the metadata of an upscaler file says about its network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ltx_core.errors import ConfigError
from ltx_core.maths import check_config_value

NORM_GROUPS = 32

# Spatial scale of a rational resampler -> (up, down).
RATIONAL_SCALES: dict[float, tuple[int, int]] = {0.75: (3, 4), 1.5: (3, 2), 2.0: (2, 1), 4.0: (4, 1)}


@dataclass(frozen=True)
class LatentUpsamplerConfig:
    """A latent upscaler.

    Attributes:
        in_channels: of the latent.
        mid_channels: of the network.
        num_blocks_per_stage: residual blocks before the upsampling, and after it.
        spatial_upsample: enlarge height and width by `spatial_scale`.
        temporal_upsample: double the frames; F become 2 F - 1.
        spatial_scale: 2 for a plain upsampler; 0.75, 1.5, 2 or 4 for a rational one.
        rational_resampler: enlarge by an integer, blur, then take every n-th position.
    """

    in_channels: int = 128
    mid_channels: int = 512
    num_blocks_per_stage: int = 4
    spatial_upsample: bool = True
    temporal_upsample: bool = False
    spatial_scale: float = 2.0
    rational_resampler: bool = False

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Self:
        """From the flat `config` of an upscaler file; an absent key has the official default.

        Raises:
            ConfigError: a value that the network cannot honour.
        """
        check_config_value(section, "_class_name", "LatentUpsampler")
        check_config_value(section, "dims", 3)
        config = cls(
            in_channels=section.get("in_channels", 128),
            mid_channels=section.get("mid_channels", 512),
            num_blocks_per_stage=section.get("num_blocks_per_stage", 4),
            spatial_upsample=section.get("spatial_upsample", True),
            temporal_upsample=section.get("temporal_upsample", False),
            spatial_scale=float(section.get("spatial_scale", 2.0)),
            # The official network resamples rationally only where it leaves time alone.
            rational_resampler=section.get("rational_resampler", False)
            and not section.get("temporal_upsample", False),
        )
        if not (config.spatial_upsample or config.temporal_upsample):
            raise ConfigError(
                "config keys 'spatial_upsample' and 'temporal_upsample' are both false; one must be true"
            )
        if config.mid_channels % NORM_GROUPS:
            raise ConfigError(
                f"config key 'mid_channels' is {config.mid_channels}; supported: multiples of {NORM_GROUPS}"
            )
        scales = list(RATIONAL_SCALES) if config.rational_resampler else [2.0]
        if config.spatial_upsample and config.spatial_scale not in scales:
            raise ConfigError(
                f"config key 'spatial_scale' is {config.spatial_scale} with rational_resampler "
                f"{config.rational_resampler}; supported: {', '.join(map(str, scales))}"
            )
        return config
