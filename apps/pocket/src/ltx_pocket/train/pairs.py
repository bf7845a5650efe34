"""Scenes encoded twice: the clip, and another view of it that a LoRA learns from."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import mlx.core as mx
import numpy as np
from ltx_core.patchifiers import VideoLatentPatchifier

from ltx_pocket.train.latents import LEAST_SCENES, PIXELS_AT_ONCE, Bucket, Captions, Encoders
from ltx_pocket.world import Scene

WORDINGS = 4

View = Callable[[Sequence[Scene], Bucket, np.random.Generator], mx.array]
"""Another view of scenes: pictures (B, F, H, W, 3) in [0, 1]."""

Write = Callable[[Scene, np.random.Generator], str]
"""A caption of a scene."""


class Drawn(NamedTuple):
    """Some pairs: clean tokens (B, T, D) and (B, M, D), those of the sound, captions."""

    video: mx.array
    other: mx.array
    audio: mx.array
    ids: mx.array
    lengths: mx.array


@dataclass(frozen=True)
class Pairs:
    """Encoded pairs of one bucket, as in `Drawn`; captions are (N, wordings, tokens)."""

    bucket: Bucket
    video: mx.array
    other: mx.array
    audio: mx.array
    ids: np.ndarray
    lengths: np.ndarray

    @property
    def tokens(self) -> int:
        """Of a pair and its sound."""
        return self.video.shape[1] + self.other.shape[1] + self.audio.shape[1]

    def draw(self, rng: np.random.Generator, size: int) -> Drawn:
        """`size` pairs at random."""
        index = rng.integers(len(self.video), size=size)
        wording = rng.integers(self.ids.shape[1], size=size)
        which = mx.array(index)
        return Drawn(
            self.video[which].astype(mx.float32),
            self.other[which].astype(mx.float32),
            self.audio[which].astype(mx.float32),
            mx.array(self.ids[index, wording]),
            mx.array(self.lengths[index, wording]),
        )


def encode_view(encoders: Encoders, pictures: mx.array) -> mx.array:
    """Pictures (B, F, H, W, 3) in [0, 1] to tokens (B, T, D) float16."""
    latent = encoders.video(2 * pictures.transpose(0, 4, 1, 2, 3) - 1)
    return VideoLatentPatchifier(1).patchify(latent).astype(mx.float16)


def encode_pairs(
    bucket: Bucket,
    encoders: Encoders,
    captions: Captions,
    rng: np.random.Generator,
    draw: Callable[[np.random.Generator], Scene],
    view: View,
    write: Write,
    *,
    deadline: float = math.inf,
) -> Pairs:
    """Encode the bucket's scenes, or fewer if the time is over before (by `time.monotonic`)."""
    at_once = max(1, PIXELS_AT_ONCE // (bucket.num_frames * bucket.height * bucket.width))
    parts: list[tuple[mx.array, mx.array, mx.array]] = []
    texts: list[str] = []
    for first in range(0, bucket.scenes, at_once):
        if first >= LEAST_SCENES and time.monotonic() > deadline:
            break
        scenes = [draw(rng) for _ in range(min(at_once, bucket.scenes - first))]
        video, audio = encoders.encode(scenes, bucket)
        part = video, encode_view(encoders, view(scenes, bucket, rng)), audio
        mx.async_eval(part)
        texts += [write(scene, rng) for scene in scenes for _ in range(WORDINGS)]
        if parts:
            mx.eval(parts[-1])
        parts.append(part)
    video, other, audio = (mx.concatenate(list(column)) for column in zip(*parts, strict=True))
    mx.eval(video, other, audio)
    ids, lengths = captions.encode(texts)
    shape = len(video), WORDINGS
    return Pairs(bucket, video, other, audio, ids.reshape(*shape, -1), lengths.reshape(shape))


def fill_pairs(
    buckets: Sequence[Bucket],
    encoders: Encoders,
    captions: Captions,
    rng: np.random.Generator,
    seconds: float,
    draw: Callable[[np.random.Generator], Scene],
    view: View,
    write: Write,
) -> list[Pairs]:
    """The pairs of all buckets, each with its part of the time."""
    start, share = time.monotonic(), np.cumsum([bucket.share for bucket in buckets])
    return [
        encode_pairs(
            bucket,
            encoders,
            captions,
            rng,
            draw,
            view,
            write,
            deadline=start + seconds * float(part / share[-1]),
        )
        for bucket, part in zip(buckets, share, strict=True)
    ]
