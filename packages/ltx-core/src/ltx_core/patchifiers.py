"""Between latents and tokens, and where each token lies in time and space.

Coordinates are computed on the host: exact integers, and one float32 division for seconds.
"""

import math
from typing import Protocol, TypeVar

import mlx.core as mx
import numpy as np

from ltx_core.errors import ShapeError
from ltx_core.types import AudioLatentShape, SpatioTemporalScaleFactors, VideoLatentShape

ShapeT = TypeVar("ShapeT", VideoLatentShape, AudioLatentShape, contravariant=True)


class Patchifier(Protocol[ShapeT]):
    """Converts latents to tokens (B, T, D) and back."""

    @property
    def patch_size(self) -> tuple[int, int, int]:
        """(frames, rows, columns) of a patch."""
        ...

    def get_token_count(self, tgt_shape: ShapeT) -> int:
        """Tokens of a latent of this shape."""
        ...

    def patchify(self, latents: mx.array) -> mx.array:
        """Latents to tokens (B, T, D)."""
        ...

    def unpatchify(self, latents: mx.array, output_shape: ShapeT) -> mx.array:
        """Tokens back to latents of that shape."""
        ...

    def get_patch_grid_bounds(self, output_shape: ShapeT) -> mx.array:
        """Where each token lies: (B, axes, T, 2), bounds [start, end)."""
        ...


class VideoLatentPatchifier:
    """Patches of 1 x patch_size x patch_size latent pixels; frames slowest, then rows, then columns."""

    def __init__(self, patch_size: int) -> None:
        self._patch_size = (1, patch_size, patch_size)

    @property
    def patch_size(self) -> tuple[int, int, int]:
        """(frames, rows, columns) of a patch."""
        return self._patch_size

    def get_token_count(self, tgt_shape: VideoLatentShape) -> int:
        """Tokens of a latent of this shape."""
        return tgt_shape.token_count() // math.prod(self._patch_size)

    def _grid(self, shape: VideoLatentShape) -> tuple[int, int, int]:
        size = self._patch_size[1]
        if min(shape) < 1 or shape.height % size or shape.width % size:
            raise ShapeError(f"latent {tuple(shape)} cannot be cut into patches of {size} x {size}")
        return shape.frames, shape.height // size, shape.width // size

    def patchify(self, latents: mx.array) -> mx.array:
        """(B, C, F, H, W) -> (B, F H/p W/p, C p p), channels slowest within a token.

        Raises:
            ShapeError: if it is not a latent that the patches fill.
        """
        shape = VideoLatentShape.from_shape(latents.shape)
        frames, rows, columns = self._grid(shape)
        p = self._patch_size[1]
        x = latents.reshape(shape.batch, shape.channels, frames, rows, p, columns, p)
        return x.transpose(0, 2, 3, 5, 1, 4, 6).reshape(shape.batch, frames * rows * columns, -1)

    def unpatchify(self, latents: mx.array, output_shape: VideoLatentShape) -> mx.array:
        """(B, T, C p p) -> (B, C, F, H, W), the inverse of `patchify`. The batch is that of the tokens.

        Raises:
            ShapeError: if the tokens do not fill the output.
        """
        frames, rows, columns = self._grid(output_shape)
        p = self._patch_size[1]
        expected = (frames * rows * columns, output_shape.channels * p * p)
        if latents.ndim != 3 or latents.shape[1:] != expected:
            raise ShapeError(f"tokens {latents.shape} do not fill {output_shape}; expected (B, {expected})")
        x = latents.reshape(-1, frames, rows, columns, output_shape.channels, p, p)
        return x.transpose(0, 4, 1, 2, 5, 3, 6).reshape(
            -1, output_shape.channels, frames, output_shape.height, output_shape.width
        )

    def get_patch_grid_bounds(self, output_shape: VideoLatentShape) -> mx.array:
        """(B, 3, T, 2) int32: [start, end) of each token in latent frames, rows and columns.

        Raises:
            ShapeError: if an axis is empty or not filled by patches.
        """
        grid = self._grid(output_shape)
        size = np.array(self._patch_size).reshape(3, 1)
        starts = np.indices(grid).reshape(3, -1) * size
        bounds = np.stack([starts, starts + size], axis=-1).astype(np.int32)
        return mx.broadcast_to(mx.array(bounds), (output_shape.batch, *bounds.shape))


def get_pixel_coords(
    latent_coords: mx.array, scale_factors: SpatioTemporalScaleFactors, causal_fix: bool = False
) -> mx.array:
    """Latent bounds in pixels: (B, 3, T, 2), each axis times its scale factor; integers stay integers.

    With `causal_fix` the time axis follows the causal video VAE: latent frame 0 is pixel frame 0 alone, frame
    k is pixel frames [8k - 7, 8k + 1).
    """
    time, space = latent_coords[:, :1] * scale_factors.time, latent_coords[:, 1:]
    if causal_fix:
        time = mx.maximum(time + (1 - scale_factors.time), 0)
    factors = mx.array([scale_factors.height, scale_factors.width], dtype=latent_coords.dtype)
    return mx.concatenate([time, space * factors.reshape(1, 2, 1, 1)], axis=1)


def to_positions(pixel_coords: mx.array, fps: float) -> mx.array:
    """Pixel bounds (B, 3, T, 2) as float32 positions: the time axis in seconds."""
    positions = np.array(pixel_coords, dtype=np.float32)
    positions[:, 0] /= np.float32(fps)
    return mx.array(positions)


class AudioPatchifier:
    """One token per latent frame, (channels, bins) with bins fastest.

    Args:
        patch_size: bins per patch of the official interface; the layout does not depend on it.
        sample_rate: of the waveform, Hz.
        hop_length: samples per spectrogram frame.
        audio_latent_downsample_factor: spectrogram frames per latent frame.
        is_causal: latent frame 0 stands for the first spectrogram frame alone.
        shift: index of the first latent frame, for windows of a longer sequence.
    """

    def __init__(
        self,
        patch_size: int,
        sample_rate: int = 16000,
        hop_length: int = 160,
        audio_latent_downsample_factor: int = 4,
        is_causal: bool = True,
        shift: int = 0,
    ) -> None:
        self.sample_rate = sample_rate
        self.hop_length = hop_length
        self.audio_latent_downsample_factor = audio_latent_downsample_factor
        self.is_causal = is_causal
        self.shift = shift
        self._patch_size = (1, patch_size, patch_size)

    @property
    def patch_size(self) -> tuple[int, int, int]:
        """(frames, bins, bins), for symmetry with video."""
        return self._patch_size

    def get_token_count(self, tgt_shape: AudioLatentShape) -> int:
        """Tokens of a latent of this shape."""
        return tgt_shape.token_count()

    def patchify(self, audio_latents: mx.array) -> mx.array:
        """(B, C, T, M) -> (B, T, C M).

        Raises:
            ShapeError: if it does not have four axes.
        """
        shape = AudioLatentShape.from_shape(audio_latents.shape)
        return audio_latents.transpose(0, 2, 1, 3).reshape(shape.batch, shape.frames, -1)

    def unpatchify(self, audio_latents: mx.array, output_shape: AudioLatentShape) -> mx.array:
        """(B, T, C M) -> (B, C, T, M), the inverse of `patchify`. The batch is that of the tokens.

        Raises:
            ShapeError: if the tokens do not fill the output.
        """
        expected = (output_shape.frames, output_shape.channels * output_shape.mel_bins)
        if audio_latents.ndim != 3 or audio_latents.shape[1:] != expected:
            raise ShapeError(
                f"tokens {audio_latents.shape} do not fill {output_shape}; expected (B, {expected})"
            )
        x = audio_latents.reshape(-1, output_shape.frames, output_shape.channels, output_shape.mel_bins)
        return x.transpose(0, 2, 1, 3)

    def _seconds(self, first: int, count: int) -> np.ndarray:
        mel = np.arange(first, first + count, dtype=np.float32) * self.audio_latent_downsample_factor
        if self.is_causal:
            mel = np.maximum(mel + (1 - self.audio_latent_downsample_factor), 0)
        return mel * np.float32(self.hop_length) / np.float32(self.sample_rate)

    def get_patch_grid_bounds(self, output_shape: AudioLatentShape) -> mx.array:
        """(B, 1, T, 2) float32: [start, end) of each token in seconds.

        Raises:
            ShapeError: if the latent has no frame.
        """
        if output_shape.frames < 1:
            raise ShapeError(f"an audio latent needs at least one frame, got {output_shape}")
        starts = self._seconds(self.shift, output_shape.frames)
        ends = self._seconds(self.shift + 1, output_shape.frames)
        bounds = np.stack([starts, ends], axis=-1)[None]
        return mx.broadcast_to(mx.array(bounds), (output_shape.batch, *bounds.shape))
