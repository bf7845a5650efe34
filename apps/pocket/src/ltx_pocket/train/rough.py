"""Clips as the second stage of the distilled pipeline meets them: upscaled from half the size."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
from ltx_core.patchifiers import VideoLatentPatchifier
from ltx_loaders import load_upsampler
from ltx_models.upsampler import upsample_video

from ltx_pocket.train.data import clips
from ltx_pocket.train.latents import Bucket, Encoders
from ltx_pocket.world import Scene, pack


class RoughEncoders(Encoders):
    """Encodes every clip twice: as it is, and at half the size, upscaled.

    Args:
        upscaler: file of the spatial upscaler.
    """

    def __init__(self, video: Path, audio: Path, upscaler: Path) -> None:
        super().__init__(video, audio)
        self.upscaler = load_upsampler(upscaler, self.dtype)

    def encode(self, scenes: Sequence[Scene], bucket: Bucket) -> tuple[mx.array, mx.array]:
        """Tokens of both streams, (B, T, D) float16; upscaled ones follow those of the clip."""
        video, audio = super().encode(scenes, bucket)
        small = replace(bucket, height=bucket.height // 2, width=bucket.width // 2)
        pixels = clips(pack(scenes), small.height, small.width, small.num_frames, small.frame_rate)
        latent = self.video(pixels.astype(self.dtype))
        rough = upsample_video(latent, self.upscaler, self.video.per_channel_statistics)
        tokens = VideoLatentPatchifier(1).patchify(rough).astype(mx.float16)
        return mx.concatenate([video, tokens], axis=1), audio
