"""Shapes of a model's latents, from its checkpoint's config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ltx_core import (
    AudioLatentShape,
    AudioLatentTools,
    AudioPatchifier,
    SpatioTemporalScaleFactors,
    VideoLatentPatchifier,
    VideoLatentShape,
    VideoLatentTools,
    VideoPixelShape,
)
from ltx_loaders import Checkpoint


@dataclass(frozen=True)
class LatentLayout:
    """Shapes of a model's latents.

    Attributes:
        min_size: pixels that each side of a clip has at least: a decoder that mirrors at its borders has
            nothing to mirror in a single latent.
    """

    video_channels: int
    audio_channels: int
    audio_bins: int
    scale_factors: SpatioTemporalScaleFactors
    audio_sample_rate: int
    audio_hop_length: int
    min_size: int

    def video_tools(self, shape: VideoPixelShape) -> VideoLatentTools:
        target = VideoLatentShape.from_pixel_shape(shape, self.video_channels, self.scale_factors)
        return VideoLatentTools(VideoLatentPatchifier(1), target, shape.fps, self.scale_factors)

    def audio_tools(self, shape: VideoPixelShape) -> AudioLatentTools:
        patchifier = AudioPatchifier(1, self.audio_sample_rate, self.audio_hop_length)
        target = AudioLatentShape.from_video_pixel_shape(
            shape,
            channels=self.audio_channels,
            mel_bins=self.audio_bins,
            sample_rate=self.audio_sample_rate,
            hop_length=self.audio_hop_length,
        )
        return AudioLatentTools(patchifier, target)


def read_layout(checkpoint: Checkpoint) -> LatentLayout:
    """The layout of a checkpoint's latents.

    Raises:
        LoaderError: the checkpoint has no VAEs.
        ConfigError: a value of their configs is not supported.
    """
    return layout_of({name: checkpoint.section(name) for name in ("vae", "audio_vae")})


def layout_of(config: Mapping[str, Any]) -> LatentLayout:
    """The same from a config with the sections of the VAEs."""
    from ltx_models.audio_vae import AudioVAEConfig
    from ltx_models.video_vae import VideoVAEConfig

    video = VideoVAEConfig.from_config(config["vae"])
    audio = AudioVAEConfig.from_config(config["audio_vae"])
    return LatentLayout(
        video_channels=video.latent_channels,
        audio_channels=audio.z_channels,
        audio_bins=audio.latent_bins,
        scale_factors=video.scale_factors,
        audio_sample_rate=audio.sample_rate,
        audio_hop_length=audio.mel_hop_length,
        min_size=video.scale_factors.height * (2 if video.decoder_padding == "reflect" else 1),
    )
