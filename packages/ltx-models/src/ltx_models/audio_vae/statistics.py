"""Mean and spread of audio latents, which the transformer sees normalised."""

import mlx.core as mx
import mlx.nn as nn


class PerChannelStatistics(nn.Module):
    """Normalisation of audio latents, one mean and one standard deviation per (channel, bin) pair.

    The pairs are the D = C * M entries of a token, bin fastest, so that tokens (B, T, D) and latents
    (B, C, T, M) share one set of numbers. Reference: PerChannelStatistics of the audio VAE.
    """

    def __init__(self, token_dim: int) -> None:
        super().__init__()
        self.mean_of_means = mx.zeros(token_dim)
        self.std_of_means = mx.ones(token_dim)

    def normalize(self, tokens: mx.array) -> mx.array:
        """(B, T, D) as the encoder gives them -> mean 0, deviation 1."""
        return (tokens - self.mean_of_means) / self.std_of_means

    def un_normalize(self, tokens: mx.array) -> mx.array:
        """The inverse of `normalize`."""
        return tokens * self.std_of_means + self.mean_of_means

    def normalize_latent(self, latent: mx.array) -> mx.array:
        """`normalize` for a latent (B, C, T, M)."""
        mean, std = self._for_latent(latent)
        return (latent - mean) / std

    def un_normalize_latent(self, latent: mx.array) -> mx.array:
        """`un_normalize` for a latent (B, C, T, M)."""
        mean, std = self._for_latent(latent)
        return latent * std + mean

    def _for_latent(self, latent: mx.array) -> tuple[mx.array, mx.array]:
        shape = (latent.shape[1], 1, latent.shape[3])
        return self.mean_of_means.reshape(shape), self.std_of_means.reshape(shape)
