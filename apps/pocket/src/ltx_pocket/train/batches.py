"""Batches for the training of the transformer: clips, captions, noise levels, and what is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import mlx.core as mx
import numpy as np
from ltx_core.schedulers import BASE_SHIFT_ANCHOR, MAX_SHIFT_ANCHOR

from ltx_pocket.train.diffusion import Contexts, Tables, of_tokens, sinusoids
from ltx_pocket.train.given import SPLICED, Given, draw_given
from ltx_pocket.train.latents import Pool

DROPPED = 0.1
"""Part of the clips without their caption: half of them with none, half with the official negative prompt."""

CLIPS_OF_CAPTION = 2
"""How often a clip stands in a batch, each time with another noise level: its text is encoded once."""

GRID = 8192
"""Noise levels are multiples of 1 / GRID: sinusoids are made once, not 100,000 of them for every batch."""


LATE = 0.4
"""Shift of the noise levels towards noise, beside that of the number of tokens."""


@cache
def levels() -> mx.array:
    """`sinusoids` of all noise levels, (GRID + 1, 256)."""
    return sinusoids(np.arange(GRID + 1) / GRID)


class Batch(NamedTuple):
    """Inputs of a training step.

    Attributes:
        video, audio: clean tokens (B, T, D).
        fixed, heard: (B, F) and (B, G) bool, latent frames and groups of audio tokens that are given.
        video_sigma, audio_sigma: (B,) noise levels, 0 for a stream that is given.
        video_level, audio_level: `sinusoids` of them.
        ids, lengths: captions, those of the first B / n clips, of the next B / n and so on.
        unprompted: (B,) bool, clips with the negative contexts in place of their caption's.
        negative_video, negative_audio: (1, 128, width).
        key: of the noise.
        tables: rotations.
    """

    video: mx.array
    audio: mx.array
    fixed: mx.array
    heard: mx.array
    video_sigma: mx.array
    audio_sigma: mx.array
    video_level: mx.array
    audio_level: mx.array
    ids: mx.array
    lengths: mx.array
    unprompted: mx.array
    negative_video: mx.array
    negative_audio: mx.array
    key: mx.array
    tables: Tables


def draw_sigmas(rng: np.random.Generator, size: int, tokens: int) -> np.ndarray:
    """Noise levels (size,): logit-normal, shifted by the number of tokens as the schedule of generation is
    (`LTX2Scheduler`) and by LATE; some uniform, so that no level is rare; and one in five close to 1.

    Small latents of simple pictures are decided where there is hardly anything but noise: what is where comes
    out of the first five of the distilled schedule's eight steps, above 0.9, which shape it has between there
    and 0.5.
    """
    slope = (2.05 - 0.95) / (MAX_SHIFT_ANCHOR - BASE_SHIFT_ANCHOR)
    shift = LATE + 0.95 + slope * (tokens - BASE_SHIFT_ANCHOR)
    shifted = 1 / (1 + np.exp(-(shift + rng.standard_normal(size))))
    kind, even = rng.random(size), rng.uniform(0.001, 1, size)
    return np.select([kind < 0.15, kind < 0.35], [even, 1 - 0.12 * even**2], shifted).astype(np.float32)


@dataclass
class Data:
    """Draws batches from the pools.

    Attributes:
        tokens: of both streams in a batch, about; it decides the number of clips.
        largest: most clips in a batch.
        negative: contexts of the negative prompt, renewed from time to time.
    """

    pools: Sequence[Pool]
    tables: Sequence[Tables]
    rng: np.random.Generator
    tokens: int
    largest: int
    negative: Contexts

    def size(self, pool: Pool) -> int:
        """Clips in a batch of a pool."""
        clip = pool.video.shape[1] + pool.audio.shape[1]
        return int(np.clip(self.tokens // clip // 8 * 8, 1, self.largest))

    def fit(self, wanted: float, needed: float) -> None:
        """Make batches smaller, if a step needs more milliseconds than wanted."""
        share = float(np.clip(wanted / needed, 0.25, 1))
        self.tokens, self.largest = int(self.tokens * share), max(8, int(self.largest * share))

    def batch(self, which: int) -> Batch:
        """A batch of one pool."""
        pool, rng = self.pools[which], self.rng
        wanted = self.size(pool)
        times = CLIPS_OF_CAPTION if wanted % CLIPS_OF_CAPTION == 0 else 1
        size = wanted
        given = draw_given(rng, size, pool.times, len(pool.bucket.keyframes))
        if not pool.bucket.pictures:
            given = Given(*(np.zeros_like(part) for part in given))
        fixed, heard = mx.array(given.frames), mx.array(given.sounds)
        spliced = given.ranges & (rng.random(size) < SPLICED)
        index = rng.integers(pool.scenes, size=size // times)
        twinned, several = np.flatnonzero(pool.twins != np.arange(pool.scenes)), spliced.reshape(times, -1)
        if len(twinned):
            index = np.where(several.any(axis=0), rng.choice(twinned, size=len(index)), index)
        video, audio, ids, lengths = pool.at(index, rng)
        index = np.tile(index, times)
        video, audio = mx.concatenate([video] * times), mx.concatenate([audio] * times)
        if spliced.any():
            # What is given is of the twin, what is made of the clip that the caption describes.
            other, where = mx.array(pool.twins[index]), mx.array(spliced)[:, None]
            video = mx.where(of_tokens(fixed & where, video.shape[1]), pool.video[other], video)
            audio = mx.where(of_tokens(heard & where, audio.shape[1]), pool.audio[other], audio)
        level = np.rint(GRID * draw_sigmas(rng, size, pool.clip_tokens)).astype(np.int32).clip(1)
        video_level = mx.array(np.where(given.video, 0, level))
        audio_level = mx.array(np.where(given.audio, 0, level))
        # No caption is the first token alone.
        lengths = np.where(rng.random(len(lengths)) < DROPPED / 2, 1, lengths).astype(np.int32)
        return Batch(
            video=video,
            audio=audio,
            fixed=fixed,
            heard=heard,
            video_sigma=video_level / GRID,
            audio_sigma=audio_level / GRID,
            video_level=levels()[video_level],
            audio_level=levels()[audio_level],
            ids=mx.array(ids),
            lengths=mx.array(lengths),
            unprompted=mx.array(rng.random(size) < DROPPED / 2),
            negative_video=self.negative[0],
            negative_audio=self.negative[1],
            key=mx.random.key(int(rng.integers(2**62))),
            tables=self.tables[which],
        )

    def choose(self, progress: float, rng: np.random.Generator) -> int:
        """A pool at random, by the shares of those that take part."""
        shares = np.array([p.bucket.share * (p.bucket.after <= progress) for p in self.pools])
        return int(rng.choice(len(self.pools), p=shares / shares.sum()))


def flattened(batch: Batch) -> tuple[mx.array, ...]:
    """As `make_loss` takes it."""
    return (*batch[:-1], *batch.tables)
