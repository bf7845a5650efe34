"""Log-mel spectrogram to waveform."""

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ShapeError

from ltx_models.vocoder.antialias import Activation1d
from ltx_models.vocoder.blocks import LRELU_SLOPE, AMPBlock1, ResBlock1
from ltx_models.vocoder.config import AUDIO_CHANNELS, GeneratorConfig
from ltx_models.vocoder.convolution import Conv1d, ConvTranspose1d


class Vocoder(nn.Module):
    """HiFi-GAN or, with AMP blocks, BigVGAN. Attributes carry the official checkpoint's names.

    Computes in float32 whatever the dtype of the input: rounding adds up over a hundred convolutions.

    Attributes:
        config: what the network was built from.
        output_sampling_rate: rate of the waveform in Hz.
        eval_every: evaluate after this many residual blocks, for short command buffers on a GPU; 0: never.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.output_sampling_rate = config.output_sampling_rate
        self.eval_every = 0
        width = config.upsample_initial_channel
        self.conv_pre = Conv1d(AUDIO_CHANNELS * config.mel_bins, width, 7)
        block = AMPBlock1 if config.resblock == "AMP1" else ResBlock1
        self.ups = []
        self.resblocks = []
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(ConvTranspose1d(width, width // 2, kernel, rate))
            width //= 2
            self.resblocks += [
                block(width, *each)
                for each in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
            ]
        if config.resblock == "AMP1":
            self.act_post = Activation1d(width)
        self.conv_post = Conv1d(width, AUDIO_CHANNELS, 7, bias=config.use_bias_at_final)

    def __call__(self, mel_spec: mx.array) -> mx.array:
        """Waveform of a log-mel spectrogram.

        Args:
            mel_spec: (B, 2, frames, mel_bins).

        Returns:
            (B, 2, frames * product of the upsampling rates) float32.

        Raises:
            ShapeError: for another number of channels or mel bins.
        """
        bins = self.config.mel_bins
        if mel_spec.ndim != 4 or mel_spec.shape[1] != AUDIO_CHANNELS or mel_spec.shape[3] != bins:
            raise ShapeError(
                f"the vocoder takes a log-mel (B, {AUDIO_CHANNELS}, frames, {bins}), got {mel_spec.shape}"
            )
        batch, _, frames, _ = mel_spec.shape
        # Channels are (stereo, mel), mel fastest.
        x = mel_spec.astype(mx.float32).transpose(0, 2, 1, 3).reshape(batch, frames, -1)
        x = self.conv_pre(x)
        for index in range(len(self.ups)):
            x = self._stage(index, x)
        # The last slope is not that of the others: the reference calls PyTorch's default here.
        x = self.act_post(x) if "act_post" in self else nn.leaky_relu(x, 0.01)
        x = self.conv_post(x).transpose(0, 2, 1)
        if self.config.final_activation == "tanh":
            return mx.tanh(x)
        return mx.clip(x, -1.0, 1.0) if self.config.final_activation == "clamp" else x

    def _stage(self, index: int, x: mx.array) -> mx.array:
        """One upsampling and the mean of its residual blocks."""
        if "act_post" not in self:
            x = nn.leaky_relu(x, LRELU_SLOPE)
        x = self.ups[index](x)
        count = len(self.config.resblock_kernel_sizes)
        total = mx.zeros((), x.dtype)
        for number in range(index * count, (index + 1) * count):
            total = total + self.resblocks[number](x)
            if self.eval_every and (number + 1) % self.eval_every == 0:
                mx.eval(total)
        return total / count
