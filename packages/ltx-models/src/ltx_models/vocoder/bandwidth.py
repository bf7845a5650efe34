"""Bandwidth extension: a second generator adds the band above the first one's."""

import mlx.core as mx
import mlx.nn as nn

from ltx_models.vocoder.antialias import hann_sinc_filter, upsample_phases
from ltx_models.vocoder.config import BandwidthExtensionConfig, GeneratorConfig, VocoderConfig
from ltx_models.vocoder.generator import Vocoder

FLOOR = 1e-5


class STFT(nn.Module):
    """Short-time Fourier transform with the checkpoint's basis: rows (real, imaginary), window included."""

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.forward_basis = mx.zeros((2 * (n_fft // 2 + 1), 1, n_fft))

    def __call__(self, waveform: mx.array) -> mx.array:
        """Magnitudes (N, samples / hop, n_fft // 2 + 1) of (N, samples); a frame ends with its hop."""
        basis = self.forward_basis
        past = max(0, basis.shape[-1] - self.hop_length)
        x = mx.pad(waveform, [(0, 0), (past, 0)])[..., None]
        spectrum = mx.conv1d(x, basis.transpose(0, 2, 1), stride=self.hop_length)
        real, imaginary = mx.split(spectrum, 2, axis=-1)
        return mx.sqrt(mx.square(real) + mx.square(imaginary))


class MelSTFT(nn.Module):
    """Causal log-mel spectrogram with the checkpoint's mel basis."""

    def __init__(self, n_fft: int, hop_length: int, mel_bins: int) -> None:
        super().__init__()
        self.stft_fn = STFT(n_fft, hop_length)
        self.mel_basis = mx.zeros((mel_bins, n_fft // 2 + 1))

    def __call__(self, waveform: mx.array) -> mx.array:
        """(B, channels, samples) -> (B, channels, samples / hop, mel_bins)."""
        batch, channels, samples = waveform.shape
        mel = self.stft_fn(waveform.reshape(-1, samples)) @ self.mel_basis.T
        return mx.log(mx.maximum(mel, FLOOR)).reshape(batch, channels, *mel.shape[1:])


class VocoderWithBWE(nn.Module):
    """A vocoder at a low rate, and the band above it, predicted from the mel spectrogram of its waveform.

    Computes in float32. Attributes carry the official checkpoint's names.

    Attributes:
        input_sampling_rate: rate of `vocoder` in Hz.
        output_sampling_rate: rate of the result in Hz.
    """

    def __init__(self, generator: GeneratorConfig, bwe: BandwidthExtensionConfig) -> None:
        super().__init__()
        self.bwe = bwe
        self.input_sampling_rate = bwe.input_sampling_rate
        self.output_sampling_rate = bwe.output_sampling_rate
        self.vocoder = Vocoder(generator)
        self.bwe_generator = Vocoder(bwe.generator)
        self.mel_stft = MelSTFT(bwe.n_fft, bwe.hop_length, bwe.generator.mel_bins)

    @property
    def eval_every(self) -> int:
        """As `Vocoder.eval_every`, of both generators."""
        return self.vocoder.eval_every

    @eval_every.setter
    def eval_every(self, blocks: int) -> None:
        self.vocoder.eval_every = self.bwe_generator.eval_every = blocks

    def __call__(self, mel_spec: mx.array) -> mx.array:
        """Waveform of a log-mel spectrogram.

        Args:
            mel_spec: (B, 2, frames, mel_bins).

        Returns:
            (B, 2, samples) float32 in [-1, 1] at `output_sampling_rate`.

        Raises:
            ShapeError: for another number of channels or mel bins.
        """
        low_rate = self.vocoder(mel_spec)
        length = low_rate.shape[-1]
        padded = mx.pad(low_rate, [(0, 0), (0, 0), (0, -length % self.bwe.hop_length)])
        residual = self.bwe_generator(self.mel_stft(padded))
        full = mx.clip(residual + self.resample(padded), -1.0, 1.0)
        return full[..., : length * self.bwe.ratio]

    def resample(self, waveform: mx.array) -> mx.array:
        """(B, channels, samples) at the output rate: the low band, which the residual is added to."""
        ratio = self.bwe.ratio
        batch, channels, samples = waveform.shape
        x = waveform.transpose(0, 2, 1)
        phases = upsample_phases(x, mx.array(hann_sinc_filter(ratio)), ratio)
        full = mx.stack(phases, axis=2).reshape(batch, samples * ratio, channels)
        return full.transpose(0, 2, 1)


def build_vocoder(config: VocoderConfig) -> Vocoder | VocoderWithBWE:
    """The network that a config describes, with placeholder weights."""
    if config.bwe is None:
        return Vocoder(config.generator)
    return VocoderWithBWE(config.generator, config.bwe)
