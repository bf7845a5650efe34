"""Log-mel spectrogram to latent."""

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ShapeError
from ltx_core.types import Audio

from ltx_models.audio_vae.config import AudioVAEConfig
from ltx_models.audio_vae.layers import CausalConv2d, DownLevel, MidBlock, pixel_norm, run_steps
from ltx_models.audio_vae.processor import AudioProcessor
from ltx_models.audio_vae.statistics import PerChannelStatistics


class AudioEncoder(nn.Module):
    """The encoder of the audio VAE. Attributes carry the official checkpoint's names.

    Attributes:
        config: what the network was built from.
        eval_every: evaluate after this many blocks, to keep command buffers short on a GPU; 0 stays lazy.
    """

    def __init__(self, config: AudioVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.eval_every = 0
        widths = [config.ch * multiple for multiple in (1, *config.ch_mult)]
        last = len(config.ch_mult) - 1
        self.conv_in = CausalConv2d(config.in_channels, config.ch, 3)
        self.down = [
            DownLevel([widths[i]] + [widths[i + 1]] * config.num_res_blocks, last=i == last)
            for i in range(last + 1)
        ]
        self.mid = MidBlock(widths[-1])
        self.conv_out = CausalConv2d(widths[-1], 2 * config.z_channels, 3)
        self.per_channel_statistics = PerChannelStatistics(config.token_dim)

    def __call__(self, spectrogram: mx.array) -> mx.array:
        """Normalised latent means.

        Args:
            spectrogram: log-mel (B, in_channels, M, mel_bins).

        Returns:
            (B, z_channels, ceil(M / 4), mel_bins / 4) float32.

        Raises:
            ShapeError: for another number of channels or mel bins.
        """
        config = self.config
        channels, bins = config.in_channels, config.mel_bins
        if spectrogram.ndim != 4 or spectrogram.shape[1] != channels or spectrogram.shape[3] != bins:
            raise ShapeError(
                f"the audio encoder takes a log-mel (B, {channels}, frames, {bins}), got {spectrogram.shape}"
            )
        x = spectrogram.transpose(0, 2, 3, 1).astype(self.conv_in.conv.weight.dtype)
        steps = [step for level in [*self.down, self.mid] for step in level.steps()]
        x = run_steps(steps, self.conv_in(x), self.eval_every)
        x = self.conv_out(nn.silu(pixel_norm(x)))
        means = x[..., : config.z_channels].transpose(0, 3, 1, 2).astype(mx.float32)
        return self.per_channel_statistics.normalize_latent(means)


def encode_audio(
    audio: Audio, audio_encoder: AudioEncoder, audio_processor: AudioProcessor | None = None
) -> mx.array:
    """Waveform to normalised latent.

    Args:
        audio: waveform (channels, samples) or (B, channels, samples) at any rate, with as many channels as
            the encoder takes.
        audio_encoder: the network.
        audio_processor: its front end, for callers that encode more than once; None builds it.

    Returns:
        (B, z_channels, T, mel_bins / 4) float32, T = ceil(frames / 4), frames = 1 + samples at the encoder's
        rate // hop.

    Raises:
        ShapeError: see `AudioProcessor.waveform_to_mel` and `AudioEncoder`.
    """
    processor = audio_processor or AudioProcessor.from_config(audio_encoder.config)
    return audio_encoder(processor.waveform_to_mel(audio))
