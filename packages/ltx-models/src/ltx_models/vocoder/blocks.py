"""The residual blocks of both generators: pairs of a dilated and a plain convolution."""

import mlx.core as mx
import mlx.nn as nn

from ltx_models.vocoder.antialias import Activation1d
from ltx_models.vocoder.convolution import Conv1d

LRELU_SLOPE = 0.1


class ResBlock1(nn.Module):
    """HiFi-GAN's block (arXiv:2010.05646): x + conv(lrelu(dilated conv(lrelu(x)))), once per dilation."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = [Conv1d(channels, channels, kernel_size, dilation) for dilation in dilations]
        self.convs2 = [Conv1d(channels, channels, kernel_size) for _ in dilations]

    def __call__(self, x: mx.array) -> mx.array:
        """(B, L, C) -> (B, L, C)."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            h = dilated(nn.leaky_relu(x, LRELU_SLOPE))
            x = x + plain(nn.leaky_relu(h, LRELU_SLOPE))
        return x


class AMPBlock1(nn.Module):
    """BigVGAN's block (arXiv:2206.04658): the same with anti-aliased snakes in the place of leaky ReLUs."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = [Conv1d(channels, channels, kernel_size, dilation) for dilation in dilations]
        self.convs2 = [Conv1d(channels, channels, kernel_size) for _ in dilations]
        self.acts1 = [Activation1d(channels) for _ in dilations]
        self.acts2 = [Activation1d(channels) for _ in dilations]

    def __call__(self, x: mx.array) -> mx.array:
        """(B, L, C) -> (B, L, C)."""
        for act1, dilated, act2, plain in zip(self.acts1, self.convs1, self.acts2, self.convs2, strict=True):
            x = x + plain(act2(dilated(act1(x))))
        return x
