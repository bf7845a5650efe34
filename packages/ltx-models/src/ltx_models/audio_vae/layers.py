"""Building blocks of the audio VAE, on spectrogram features (B, T, F, C): time, frequency, channels last.

Time is causal: an output frame sees its own and earlier input frames only.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import mlx.core as mx
import mlx.nn as nn
from ltx_core.maths import rms_norm


def pixel_norm(x: mx.array) -> mx.array:
    """Each (time, frequency) position divided by the RMS of its channels, eps 1e-6."""
    return rms_norm(x, eps=1e-6)


class CausalConv2d(nn.Module):
    """Convolution that keeps the size: zeros before the first frame, on both sides in frequency."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size)

    def __call__(self, x: mx.array) -> mx.array:
        reach = self.conv.weight.shape[1] - 1
        if reach:
            x = mx.pad(x, [(0, 0), (reach, 0), (reach // 2, reach - reach // 2), (0, 0)])
        result: mx.array = self.conv(x)
        return result


class ResnetBlock(nn.Module):
    """Twice (pixel norm, SiLU, 3 x 3 convolution), added to the input."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = CausalConv2d(in_channels, out_channels, 3)
        self.conv2 = CausalConv2d(out_channels, out_channels, 3)
        if in_channels != out_channels:
            self.nin_shortcut = CausalConv2d(in_channels, out_channels, 1)

    def __call__(self, x: mx.array) -> mx.array:
        h = self.conv1(nn.silu(pixel_norm(x)))
        h = self.conv2(nn.silu(pixel_norm(h)))
        if "nin_shortcut" in self:
            x = self.nin_shortcut(x)
        return x + h


class MidBlock(nn.Module):
    """The two residual blocks at the coarsest level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.block_2 = ResnetBlock(channels, channels)

    def steps(self) -> list[nn.Module]:
        """The blocks in the order in which they run."""
        return [self.block_1, self.block_2]


class Downsample(nn.Module):
    """Half the size in time and frequency, rounded up: 3 x 3 convolution with stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def __call__(self, x: mx.array) -> mx.array:
        result: mx.array = self.conv(mx.pad(x, [(0, 0), (2, 0), (0, 1), (0, 0)]))
        return result


class Upsample(nn.Module):
    """Twice the size in frequency, T -> 2T - 1 in time: nearest neighbour, convolution, first frame dropped.

    The first two frames of the convolution both come from the first input frame alone; dropping one of them
    undoes the encoder's padding.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv2d(channels, channels, 3)

    def __call__(self, x: mx.array) -> mx.array:
        batch, time, bins, channels = x.shape
        x = mx.broadcast_to(x[:, :, None, :, None], (batch, time, 2, bins, 2, channels))
        return self.conv(x.reshape(batch, 2 * time, 2 * bins, channels))[:, 1:]


class DownLevel(nn.Module):
    """One resolution of the encoder: residual blocks, and `downsample` unless it is the coarsest."""

    def __init__(self, widths: Sequence[int], *, last: bool) -> None:
        """`widths`: channels before the first block and after each one."""
        super().__init__()
        self.block = [ResnetBlock(*pair) for pair in pairwise(widths)]
        if not last:
            self.downsample = Downsample(widths[-1])

    def steps(self) -> list[nn.Module]:
        """The blocks in the order in which they run."""
        return [*self.block, self.downsample] if "downsample" in self else [*self.block]


class UpLevel(nn.Module):
    """One resolution of the decoder: residual blocks, and `upsample` unless it is the finest."""

    def __init__(self, widths: Sequence[int], *, last: bool) -> None:
        """`widths`: channels before the first block and after each one."""
        super().__init__()
        self.block = [ResnetBlock(*pair) for pair in pairwise(widths)]
        if not last:
            self.upsample = Upsample(widths[-1])

    def steps(self) -> list[nn.Module]:
        """The blocks in the order in which they run."""
        return [*self.block, self.upsample] if "upsample" in self else [*self.block]


def run_steps(steps: Iterable[nn.Module], x: mx.array, eval_every: int) -> mx.array:
    """One module after the other; `eval_every` > 0 evaluates after every so many of them."""
    for index, step in enumerate(steps, start=1):
        x = step(x)
        if eval_every and index % eval_every == 0:
            mx.eval(x)
    return x
