"""The convolutional video VAE: pixels (B, 3, F, H, W) to latents (B, C, F', H', W') and back."""

from ltx_models.video_vae.config import VideoVAEConfig
from ltx_models.video_vae.decoder import VideoDecoder, to_uint8
from ltx_models.video_vae.encoder import VideoEncoder
from ltx_models.video_vae.ops import PerChannelStatistics
from ltx_models.video_vae.tiling import DimensionSizeConfig, TileSizeConfig

__all__ = [
    "DimensionSizeConfig",
    "PerChannelStatistics",
    "TileSizeConfig",
    "VideoDecoder",
    "VideoEncoder",
    "VideoVAEConfig",
    "to_uint8",
]
