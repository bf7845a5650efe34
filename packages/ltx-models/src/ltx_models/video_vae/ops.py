"""Rearrangements between pixels, channels and positions, and the statistics of the latent channels."""

import math

import mlx.core as mx
import mlx.nn as nn


def patchify(pixels: mx.array, patch_size: int) -> mx.array:
    """Squares of pixels to channels, and channels last: (B, C, F, H, W) -> (B, F, H/p, W/p, C p p).

    The channel order is (c, column, row): within a square the *width* offset is the slower one.
    """
    b, c, f, h, w = pixels.shape
    p = patch_size
    x = pixels.reshape(b, c, f, h // p, p, w // p, p)
    return x.transpose(0, 2, 3, 5, 1, 6, 4).reshape(b, f, h // p, w // p, c * p * p)


def unpatchify(x: mx.array, patch_size: int) -> mx.array:
    """The inverse of `patchify`: (B, F, h, w, C p p) -> (B, C, F, h p, w p)."""
    b, f, h, w, c = x.shape
    p = patch_size
    x = x.reshape(b, f, h, w, c // (p * p), p, p)
    return x.transpose(0, 4, 1, 2, 6, 3, 5).reshape(b, c // (p * p), f, h * p, w * p)


def space_to_depth(x: mx.array, stride: tuple[int, int, int]) -> mx.array:
    """(B, F s, H s', W s'', C) -> (B, F, H, W, C s s' s''), channel order (c, time, row, column)."""
    b, f, h, w, c = x.shape
    st, sh, sw = stride
    x = x.reshape(b, f // st, st, h // sh, sh, w // sw, sw, c)
    return x.transpose(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, f // st, h // sh, w // sw, c * math.prod(stride))


def depth_to_space(x: mx.array, stride: tuple[int, int, int]) -> mx.array:
    """The inverse of `space_to_depth`: (B, F, H, W, C s s' s'') -> (B, F s, H s', W s'', C)."""
    b, f, h, w, c = x.shape
    st, sh, sw = stride
    c //= math.prod(stride)
    x = x.reshape(b, f, h, w, c, st, sh, sw)
    return x.transpose(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, f * st, h * sh, w * sw, c)


class PerChannelStatistics(nn.Module):
    """Mean and standard deviation of each latent channel over the training set.

    Networks that work on latents see them normalised; the upsampler sees them as they are.
    """

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        self.mean_of_means = mx.zeros(latent_channels)
        self.std_of_means = mx.ones(latent_channels)

    def normalize(self, latent: mx.array) -> mx.array:
        """(x - mean) / std of latents (B, C, F, H, W)."""
        mean, std = self._like(latent)
        return (latent - mean) / std

    def un_normalize(self, latent: mx.array) -> mx.array:
        """x * std + mean, the inverse of `normalize`."""
        mean, std = self._like(latent)
        return latent * std + mean

    def _like(self, latent: mx.array) -> tuple[mx.array, mx.array]:
        shape = (-1, 1, 1, 1)
        return (
            self.mean_of_means.reshape(shape).astype(latent.dtype),
            self.std_of_means.reshape(shape).astype(latent.dtype),
        )
