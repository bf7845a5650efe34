"""How new frames are put behind or before a clip: what of it is shown to the model, and how the made part is
joined to it."""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from ltx_core import Audio
from ltx_core.conditioning import (
    ConditioningItem,
    TemporalRegionMask,
    VideoConditionByKeyframeIndex,
    VideoConditionByMask,
)

from ltx_pipelines.config import FRAME_STEP
from ltx_pipelines.stages import ModalitySpec

# Length of the offset that takes the jump out of a waveform where the made sound begins.
DECLICK_SECONDS = 0.005


@dataclass(frozen=True)
class Window:
    """The stretch of time that the model works on: the end of the source (or its start) and the new frames.

    The video VAE's encoder is causal: its first latent frame stands for one pixel frame, every other one for
    8, and none depends on what comes later. New frames behind the source are therefore simple: the latents of
    its last 8 j + 1 frames are the first of the window.

    Before the source, its first frame falls on the last of a group of 8, the others of which are new. So its
    latents are used as they are but for the first: those of frames 1 to 8 j, which end the window, are what
    the VAE makes of them after a still picture, and the first, an image's latent, is shown as a keyframe at
    its place beside the latent frame that is made there.

    Attributes:
        kept: frames of the source, 8 j + 1.
        new: frames to make, a multiple of 8.
        overlap: of the kept frames, those next to the new ones that may change: they are held the less, the
            nearer they are, and blended with the source's. A multiple of 8, below `kept`.
        before: whether the new frames come before the source.
        frame_rate: frames per second.
    """

    kept: int
    new: int
    overlap: int
    before: bool
    frame_rate: float

    def samples(self, num_frames: int, rate: float) -> int:
        """How many samples at `rate` per second last as long as so many frames."""
        return round(num_frames / self.frame_rate * rate)

    def of(self, source: np.ndarray, rate: float) -> np.ndarray:
        """The kept part of the source, whose first axis is time at `rate` per second."""
        count = self.samples(self.kept, rate)
        return source[:count] if self.before else source[max(len(source) - count, 0) :]

    def picture(self, latent: mx.array) -> ModalitySpec:
        """How the video begins.

        Args:
            latent: (1, C, j + 1, h, w) of the kept frames.
        """
        groups, new = self.overlap // FRAME_STEP, self.new // FRAME_STEP
        ramp = [(index + 1) / (groups + 1) for index in range(groups)]
        items: list[ConditioningItem] = []
        if self.before:
            held = latent[:, :, 1:]
            keep = [0.0] * (new + 1) + ramp + [1.0] * (held.shape[2] - groups)
            held = mx.pad(held, [(0, 0), (0, 0), (new + 1, 0), (0, 0), (0, 0)])
            if not groups:
                items.append(VideoConditionByKeyframeIndex(latent[:, :, :1], self.new, 1.0))
        else:
            keep = [1.0] * (latent.shape[2] - groups) + ramp[::-1] + [0.0] * new
            held = mx.pad(latent, [(0, 0), (0, 0), (0, new), (0, 0), (0, 0)])
        batch, _, frames, height, width = held.shape
        mask = mx.broadcast_to(mx.array(keep).reshape(1, -1, 1, 1), (batch, frames, height, width))
        return ModalitySpec([VideoConditionByMask(held, mask), *items], held)

    def heard(self, sound: Audio, num_frames: int) -> Audio:
        """What of the source's sound is encoded: its kept part, with its mirror image in the place of a new
        part before it, so that the encoder, which is causal too, meets no sudden beginning.

        Args:
            sound: (channels, samples) of the whole source, which has `num_frames` frames.
        """
        rate = sound.sampling_rate
        samples = self.of(_fit(sound.waveform, self.samples(num_frames, rate)), rate)
        if self.before:
            samples = np.pad(samples, ((self.samples(self.new, rate), 0), (0, 0)), mode="symmetric")
        return Audio(mx.array(samples.T), rate)

    def sound(self, latent: mx.array) -> ModalitySpec:
        """How the sound begins, of which `latent` (1, C, T, M) is `heard` in the window's length."""
        start, end = (
            (0.0, (self.new + self.overlap) / self.frame_rate)
            if self.before
            else ((self.kept - self.overlap) / self.frame_rate, float("inf"))
        )
        return ModalitySpec([TemporalRegionMask(start, end, self.frame_rate)], latent)

    def join_frames(self, source: np.ndarray, made: np.ndarray) -> np.ndarray:
        """The extended clip, uint8 (F, H, W, 3): the source's frames as they are, but for the overlap.

        Args:
            source: all its frames.
            made: those of the window.
        """
        return np.ascontiguousarray(self._join(source, made, self.kept, self.overlap))

    def join_sound(self, source: Audio, made: Audio, num_frames: int) -> Audio:
        """The extended sound at the source's rate: its samples as they are, but for the overlap. Without
        overlap an offset of 5 ms takes the jump out of the made part.

        Args:
            source: (2, samples) that belong to `num_frames` frames; silence stands for what is missing.
            made: of the window.
        """
        from ltx_models.audio_vae import resample

        rate = source.sampling_rate
        kept, overlap, window, whole = (
            self.samples(count, rate) for count in (self.kept, self.overlap, self.kept + self.new, num_frames)
        )
        samples = _fit(source.waveform, whole)
        new = _fit(resample(made.waveform, made.sampling_rate, rate), window)
        joined = self._join(samples, new, kept, overlap, 0 if overlap else round(DECLICK_SECONDS * rate))
        return Audio(mx.array(np.ascontiguousarray(joined.T)), rate)

    def _join(
        self, source: np.ndarray, made: np.ndarray, kept: int, overlap: int, declick: int = 0
    ) -> np.ndarray:
        """Source and made part along axis 0, the made one from behind its first (or before its last) `kept`
        on."""
        if self.before:  # the same, backwards
            source, made = source[::-1], made[::-1]
        kept = min(kept, len(made))
        parts = [source, made[kept:]]
        if overlap:
            weight = (np.arange(1, overlap + 1, dtype=np.float32) / (overlap + 1)).reshape(
                -1, *[1] * (source.ndim - 1)
            )
            blend = source[-overlap:] * (1 - weight) + made[kept - overlap : kept] * weight
            parts = [source[:-overlap], _as(blend, source.dtype), made[kept:]]
        elif declick and len(made) > kept:
            tail = made[kept:].copy()
            fade = np.linspace(1, 0, declick, endpoint=False, dtype=np.float32)[: len(tail), None]
            tail[: len(fade)] += fade * (source[-1] - tail[0])
            parts = [source, tail]
        joined = np.concatenate(parts)
        return joined[::-1] if self.before else joined


def _as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.rint(values).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


def _fit(waveform: mx.array, length: int) -> np.ndarray:
    """(channels, samples) as (length, channels), cut or filled up with silence."""
    samples = np.array(waveform[:, :length], np.float32).T
    return np.pad(samples, ((0, length - len(samples)), (0, 0)))
