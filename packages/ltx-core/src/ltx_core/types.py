"""Data that passes between the parts of the system: shapes, latent states, the inputs of one stream.

Layouts: video latents (B, C, F, H, W), audio latents (B, C, T, M), tokens (B, T, D). Names follow the
official ltx-core. The classes that hold arrays compare by identity: arrays have no single truth value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import mlx.core as mx

from ltx_core.errors import ShapeError


class VideoPixelShape(NamedTuple):
    """Size of a clip in pixels. `frames` is 8 k + 1 for clips that the video VAE takes as they are."""

    batch: int
    frames: int
    height: int
    width: int
    fps: float


class SpatioTemporalScaleFactors(NamedTuple):
    """Pixels per latent along each axis, in the order of the latent's axes."""

    time: int = 8
    height: int = 32
    width: int = 32

    @classmethod
    def default(cls) -> Self:
        """8 frames, 32 x 32 pixels: the video VAE of every released LTX-2."""
        return cls()


VIDEO_SCALE_FACTORS = SpatioTemporalScaleFactors.default()
"""Pixel frames, rows and columns for each of the latent, in every released LTX-2."""


class VideoLatentShape(NamedTuple):
    """Shape of a video latent, (B, C, F, H, W). The first latent frame stands for one pixel frame."""

    batch: int
    channels: int
    frames: int
    height: int
    width: int

    @classmethod
    def from_shape(cls, shape: Sequence[int]) -> Self:
        """From an array's shape.

        Raises:
            ShapeError: if it does not have five axes.
        """
        if len(shape) != 5:
            raise ShapeError(f"a video latent has 5 axes (B, C, F, H, W), got shape {tuple(shape)}")
        return cls(*shape)

    @classmethod
    def from_pixel_shape(
        cls,
        shape: VideoPixelShape,
        latent_channels: int = 128,
        scale_factors: SpatioTemporalScaleFactors = VIDEO_SCALE_FACTORS,
    ) -> Self:
        """Latent of a clip: (frames - 1) // 8 + 1 frames, a 32nd of the height and width, rounded down."""
        return cls(
            batch=shape.batch,
            channels=latent_channels,
            frames=(shape.frames - 1) // scale_factors.time + 1,
            height=shape.height // scale_factors.height,
            width=shape.width // scale_factors.width,
        )

    def to_shape(self) -> tuple[int, int, int, int, int]:
        """As a plain tuple, for array constructors."""
        return (self.batch, self.channels, self.frames, self.height, self.width)

    def token_count(self) -> int:
        """Number of tokens with patch size 1."""
        return self.frames * self.height * self.width

    def mask_shape(self) -> Self:
        """Shape of a mask over the latent: one channel."""
        return self._replace(channels=1)

    def upscale(self, scale_factors: SpatioTemporalScaleFactors = VIDEO_SCALE_FACTORS) -> Self:
        """Shape of the decoded clip, (B, 3, frames, height, width) in pixels."""
        return self._replace(
            channels=3,
            frames=(self.frames - 1) * scale_factors.time + 1,
            height=self.height * scale_factors.height,
            width=self.width * scale_factors.width,
        )


class AudioLatentShape(NamedTuple):
    """Shape of an audio latent, (B, C, T, M): M frequency bins per latent frame of 40 ms."""

    batch: int
    channels: int
    frames: int
    mel_bins: int

    @classmethod
    def from_shape(cls, shape: Sequence[int]) -> Self:
        """From an array's shape.

        Raises:
            ShapeError: if it does not have four axes.
        """
        if len(shape) != 4:
            raise ShapeError(f"an audio latent has 4 axes (B, C, T, M), got shape {tuple(shape)}")
        return cls(*shape)

    @classmethod
    def from_duration(
        cls,
        batch: int,
        duration: float,
        channels: int = 8,
        mel_bins: int = 16,
        sample_rate: int = 16000,
        hop_length: int = 160,
        audio_latent_downsample_factor: int = 4,
    ) -> Self:
        """Latent of `duration` seconds: 25 frames per second by default, rounded half to even."""
        frames = round(duration * (sample_rate / hop_length / audio_latent_downsample_factor))
        return cls(batch=batch, channels=channels, frames=frames, mel_bins=mel_bins)

    @classmethod
    def from_video_pixel_shape(cls, shape: VideoPixelShape, **kwargs: Any) -> Self:
        """Latent as long as a clip, frames / fps seconds; keyword arguments as in `from_duration`."""
        return cls.from_duration(shape.batch, float(shape.frames) / float(shape.fps), **kwargs)

    def to_shape(self) -> tuple[int, int, int, int]:
        """As a plain tuple, for array constructors."""
        return (self.batch, self.channels, self.frames, self.mel_bins)

    def token_count(self) -> int:
        """Number of tokens: one per latent frame."""
        return self.frames

    def mask_shape(self) -> Self:
        """Shape of a mask over the latent: one channel, one bin."""
        return self._replace(channels=1, mel_bins=1)


@dataclass(frozen=True, eq=False)
class Audio:
    """Samples in [-1, 1], waveform (channels, samples), at `sampling_rate` Hz."""

    waveform: mx.array
    sampling_rate: int


@dataclass(frozen=True, eq=False)
class LatentState:
    """One stream during denoising, in token layout (or latent layout before `patchify`).

    Attributes:
        latent: (B, T, D), what is being denoised.
        denoise_mask: (B, T, 1) float32 in [0, 1]; 1 = generate, 0 = keep the clean latent. A token's noise
            level is the mask times sigma.
        positions: (B, axes, T, 2) float32, [start, end) of each token: seconds, pixel rows, pixel columns
            for video, seconds for audio.
        clean_latent: (B, T, D), what conditioned tokens are pulled back to.
        attention_mask: (B, T, T) in [0, 1], or None for full self-attention.
        keyframes_mask: (B, T, 1), above 0 on tokens that stand for a single pixel frame, or None. Only
            networks with a keyframe embedding look at it.
        frozen: the stream only guides the other one: its mask is all 0 and the network sees sigma 0.
    """

    latent: mx.array
    denoise_mask: mx.array
    positions: mx.array
    clean_latent: mx.array
    attention_mask: mx.array | None = None
    keyframes_mask: mx.array | None = None
    frozen: bool = False

    def replace(self, **changes: Any) -> "LatentState":
        """A copy with some fields changed; unchanged arrays are shared."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Modality:
    """What a network sees of one stream in one call.

    Attributes:
        latent: (B, T, D) noisy tokens.
        sigma: (B,) float32 noise level of the step; 0 for a frozen stream.
        timesteps: (B, T, 1) float32 noise level of each token, denoise mask times sigma.
        positions: (B, axes, T, 2) float32, see `LatentState.positions`.
        context: (B, S, E) text embedding.
        enabled: if False the stream is not updated, but the other one still attends to it.
        context_mask: (B, S) mask over the context, or None: all of it counts.
        attention_mask: (B, T, T) self-attention weights in [0, 1], or None.
        keyframes_mask: (B, T, 1), see `LatentState.keyframes_mask`.
    """

    latent: mx.array
    sigma: mx.array
    timesteps: mx.array
    positions: mx.array
    context: mx.array
    enabled: bool = True
    context_mask: mx.array | None = None
    attention_mask: mx.array | None = None
    keyframes_mask: mx.array | None = None
