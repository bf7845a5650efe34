"""Latent upscalers: twice the frames, or a larger picture, without leaving latent space."""

from ltx_models.upsampler.config import LatentUpsamplerConfig
from ltx_models.upsampler.model import LatentUpsampler, upsample_video

__all__ = ["LatentUpsampler", "LatentUpsamplerConfig", "upsample_video"]
