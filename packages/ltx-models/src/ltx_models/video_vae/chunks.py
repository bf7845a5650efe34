"""Clips in chunks of frames, for the layers that would make large arrays of a whole one."""

import math
import operator
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Protocol

import mlx.core as mx

from ltx_models.video_vae.blocks import UNetMidBlock3D
from ltx_models.video_vae.config import VideoVAEConfig
from ltx_models.video_vae.past import FRAMES, WHOLE, Past

CHUNK_BYTES = 2**27
"""The largest array of a layer: enough to keep a large GPU busy. Some ten of them are in memory at a time."""


class Layer(Protocol):
    """A part of the network that remembers what it needs of a clip's earlier chunks.

    Attributes:
        time_factor: frames that it makes of one; below 1 where it makes one of several.
    """

    @property
    def time_factor(self) -> float: ...

    def __call__(self, x: mx.array, causal: bool, past: Past = WHOLE) -> mx.array: ...


def decoder_arrays(config: VideoVAEConfig, latent_shape: Sequence[int]) -> list[int]:
    """Elements of the largest array of `conv_in` and of each of the decoder's blocks.

    Args:
        latent_shape: (B, C, F, H, W).
    """
    batch, _, frames, height, width = latent_shape
    channels = batch * config.decoder_in_channels
    arrays = [channels * frames * height * width]
    for block in config.decoder_blocks:
        time, rows, columns = block.stride
        channels //= block.multiplier
        # An upsampling convolution puts out one frame more, which is dropped.
        frames, height, width = frames * time, height * rows, width * columns
        arrays.append(channels * frames * height * width)
        frames -= time - 1
    return arrays


def encoder_arrays(config: VideoVAEConfig, video_shape: Sequence[int]) -> list[int]:
    """Elements of the largest array of `conv_in` and of each of the encoder's blocks.

    Args:
        video_shape: (B, 3, F, H, W).
    """
    batch, _, frames, height, width = video_shape
    height, width = height // config.patch_size, width // config.patch_size
    channels = batch * config.latent_channels
    arrays = [channels * frames * height * width]
    for block in config.encoder_blocks:
        time, rows, columns = block.stride
        frames += time - 1
        before = channels * frames * height * width
        channels *= block.multiplier
        frames, height, width = frames // time, height // rows, width // columns
        arrays.append(max(before, channels * frames * height * width))
    return arrays


def list_layers(
    first: Layer, blocks: Sequence[Layer | UNetMidBlock3D], last: Layer, arrays: Sequence[int]
) -> tuple[list[Layer], list[int]]:
    """The layers of a network in order, and the elements of the largest array of each.

    Args:
        arrays: those of `first` and of each block.
    """
    layers, sizes = [first], [arrays[0]]
    for block, size in zip(blocks, arrays[1:], strict=True):
        parts = block.res_blocks if isinstance(block, UNetMidBlock3D) else [block]
        layers += parts
        sizes += [size] * len(parts)
    return [*layers, last], [*sizes, sizes[-1]]


def chunk_starts(array: int, most: int, frames: int, multiple: int = 1) -> list[int]:
    """Where chunks of a clip begin whose largest array, `array` elements for all `frames`, is to have `most`.

    Args:
        multiple: all chunks but the last one are a multiple of that long, the first one a frame longer, where
            it is more than 1.
    """
    count = max(1, math.ceil(array / most))
    size = max(1, math.ceil(frames / count / multiple)) * multiple
    return [0, *range(size + (multiple > 1), frames, size)]


def in_one(layers: Sequence[Layer], x: mx.array, causal: bool, *, eval_every: int = 0) -> mx.array:
    """What layers make of a clip (B, F, H, W, C), evaluated after every so many of them."""
    for index, layer in enumerate(layers, start=1):
        x = layer(x, causal)
        if eval_every and index % eval_every == 0:
            mx.eval(x)
    return x


def in_chunks(
    layers: Sequence[Layer], x: mx.array, starts: Sequence[int], causal: bool
) -> Iterator[mx.array]:
    """What layers make of a clip, in chunks that follow each other in time.

    Each is evaluated layer by layer: GPUs hold what a graph computes until all of it is done.

    Args:
        x: (B, F, H, W, C).
        starts: where its chunks begin.
    """
    chunks = list(pairwise([*starts, x.shape[FRAMES]]))
    longest = max(end - start for start, end in chunks)
    lengths = list(accumulate((layer.time_factor for layer in layers), operator.mul, initial=float(longest)))
    pasts = [Past() for _ in layers]
    for start, end in chunks:
        # Layer, its input, whether that is the clip's end. No other name may hold an array here: it would
        # stay in memory while the layers behind it work.
        todo = [(0, x[:, start:end], end == x.shape[FRAMES])]
        while todo:
            index, y, ends = todo.pop()
            if index == len(layers):
                yield y
                continue
            pasts[index].ends = ends
            y = layers[index](y, causal, pasts[index])
            mx.eval(y, pasts[index].arrays)
            # What layers that look ahead hold back comes all at once in the end.
            todo += [
                (index + 1, y[:, first:last], ends and last == y.shape[FRAMES])
                for first, last in reversed(_pieces(y.shape[FRAMES], lengths[index + 1]))
            ]


def _pieces(frames: int, length: float) -> list[tuple[int, int]]:
    """(start, end) of parts of `length` frames; what is shorter than one and a half stays together."""
    count = max(1, round(frames / length)) if frames else 0
    size = math.ceil(frames / count) if count else 0
    return [(first, min(first + size, frames)) for first in range(0, frames, size or 1)]
