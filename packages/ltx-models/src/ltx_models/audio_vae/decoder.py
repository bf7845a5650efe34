"""Latent to log-mel spectrogram."""

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ShapeError
from ltx_core.types import Audio

from ltx_models.audio_vae.config import AudioVAEConfig
from ltx_models.audio_vae.layers import CausalConv2d, MidBlock, UpLevel, pixel_norm, run_steps
from ltx_models.audio_vae.statistics import PerChannelStatistics
from ltx_models.vocoder import Vocoder, VocoderWithBWE


class AudioDecoder(nn.Module):
    """The decoder of the audio VAE. Attributes carry the official checkpoint's names.

    Attributes:
        config: what the network was built from.
        eval_every: evaluate after this many blocks, to keep command buffers short on a GPU; 0 stays lazy.
    """

    def __init__(self, config: AudioVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.eval_every = 0
        levels = len(config.ch_mult)
        # Listed finest first, run coarsest first; a level's input has the width of the next coarser one.
        widths = [config.ch * multiple for multiple in (*config.ch_mult, config.ch_mult[-1])]
        self.conv_in = CausalConv2d(config.z_channels, widths[-1], 3)
        self.mid = MidBlock(widths[-1])
        self.up = [
            UpLevel([widths[i + 1]] + [widths[i]] * (config.num_res_blocks + 1), last=i == 0)
            for i in range(levels)
        ]
        self.conv_out = CausalConv2d(widths[0], config.out_ch, 3)
        self.per_channel_statistics = PerChannelStatistics(config.token_dim)

    def __call__(self, sample: mx.array) -> mx.array:
        """Log-mel spectrogram of a normalised latent.

        Args:
            sample: (B, z_channels, T, mel_bins / 4).

        Returns:
            (B, out_ch, 4T - 3, mel_bins), in the dtype of the weights.

        Raises:
            ShapeError: for another number of channels or bins, or no frame at all.
        """
        channels, bins = self.config.z_channels, self.config.latent_bins
        if sample.ndim != 4 or sample.shape[1] != channels or sample.shape[3] != bins or not sample.shape[2]:
            raise ShapeError(
                f"the audio decoder takes latents (B, {channels}, T, {bins}), got {sample.shape}"
            )
        x = self.per_channel_statistics.un_normalize_latent(sample)
        x = x.transpose(0, 2, 3, 1).astype(self.conv_in.conv.weight.dtype)
        steps = [step for level in [self.mid, *reversed(self.up)] for step in level.steps()]
        x = run_steps(steps, self.conv_in(x), self.eval_every)
        x = self.conv_out(nn.silu(pixel_norm(x)))
        return x.transpose(0, 3, 1, 2)


def decode_audio(latent: mx.array, audio_decoder: AudioDecoder, vocoder: Vocoder | VocoderWithBWE) -> Audio:
    """Normalised latent to waveform.

    Args:
        latent: (1, z_channels, T, mel_bins / 4).
        audio_decoder: latent to log-mel.
        vocoder: log-mel to waveform.

    Returns:
        Waveform (channels, samples) float32 in [-1, 1] at the vocoder's rate.

    Raises:
        ShapeError: for a batch of more than one clip.
    """
    if latent.shape[0] != 1:
        raise ShapeError(f"decode_audio takes one clip, got a batch of {latent.shape[0]}")
    return Audio(vocoder(audio_decoder(latent))[0], vocoder.output_sampling_rate)
