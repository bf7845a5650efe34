"""Clips and sounds that pipelines start from: files, or arrays."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from ltx_core import Audio, ConfigError, VideoPixelShape

from ltx_pipelines.ffmpeg_input import (
    MediaStreams,
    count_frames,
    read_samples,
    read_streams,
    stream_frames,
)
from ltx_pipelines.images import MediaError
from ltx_pipelines.media import exact_rate
from ltx_pipelines.resize import normalize_images, resize_and_center_crop


@dataclass(frozen=True, eq=False)
class VideoInput:
    """A clip that a pipeline starts from; a file is read when it is needed, frame by frame.

    Attributes:
        video: path of any file that ffmpeg reads, or uint8 frames (F, H, W, 3).
        frame_rate: of frames given as an array; a file knows its own.
        audio: sound of frames given as an array; a file brings its own.
        start: seconds into it where it begins.
        duration: seconds to take; None: to its end.
    """

    video: str | Path | np.ndarray
    frame_rate: float | None = None
    audio: Audio | None = None
    start: float = 0.0
    duration: float | None = None

    def __post_init__(self) -> None:
        check_range("video", self.start, self.duration)
        if not isinstance(self.video, np.ndarray):
            if self.frame_rate is not None or self.audio is not None:
                raise ConfigError(
                    f"frame_rate and audio belong to arrays; the file {self.video} brings its own"
                )
            return
        if self.video.ndim != 4 or self.video.shape[3] != 3 or self.video.dtype != np.uint8:
            raise ConfigError(f"frames must be uint8 (F, H, W, 3), got {self.video.dtype} {self.video.shape}")
        if self.frame_rate is None or not (math.isfinite(self.frame_rate) and self.frame_rate > 0):
            raise ConfigError(f"frames as an array need a frame_rate above 0, got {self.frame_rate}")

    def check(self) -> None:
        """Raise MediaError unless there are frames to read."""
        self.shape()

    def describe(self) -> dict[str, Any]:
        """Plain values for records."""
        values: dict[str, Any] = {"video": self.video, "start": self.start, "duration": self.duration}
        if isinstance(self.video, np.ndarray):
            values |= {"video": f"array {self.video.shape}", "frame_rate": self.frame_rate}
        else:
            values["video"] = str(self.video)
        return values

    @cached_property
    def _streams(self) -> MediaStreams:
        """Of a file; of an array, what a file of it would have."""
        if isinstance(self.video, np.ndarray):
            _, height, width, _ = self.video.shape
            assert self.frame_rate is not None
            rate = 0 if self.audio is None else self.audio.sampling_rate
            return MediaStreams(height, width, Fraction(self.frame_rate), rate)
        streams = read_streams(self.video)
        if not streams.frame_rate:
            raise MediaError(f"{self.video} holds sound but no picture; give a video file")
        return streams

    @cached_property
    def _frame_counts(self) -> dict[Fraction, int]:
        return {}

    def _rate(self, frame_rate: float | None) -> Fraction:
        own = self._streams.frame_rate
        return own if frame_rate is None or frame_rate == float(own) else exact_rate(frame_rate)

    def _order(self, rate: Fraction) -> np.ndarray:
        """Which frames of an array make up the clip: at each moment the last one that has begun by then, to
        half a frame."""
        assert isinstance(self.video, np.ndarray)
        own = self._streams.frame_rate
        first = min(round(self.start * own), len(self.video))
        count = len(self.video) - first
        if self.duration is not None:
            count = min(count, round(self.duration * own))
        if rate == own:
            return first + np.arange(count)
        wanted = np.arange(round(count * rate / own)) + 0.5
        result: np.ndarray = first + np.clip(
            np.ceil(wanted * float(own / rate)).astype(np.int64) - 1, 0, count - 1
        )
        return result

    def shape(self, frame_rate: float | None = None) -> VideoPixelShape:
        """Frames, size and frame rate, the clip's own or another; counted, not what the file claims.

        Raises:
            MediaError: the file is missing or no video, or the range holds no frame.
        """
        streams, rate = self._streams, self._rate(frame_rate)
        if rate not in self._frame_counts:
            if isinstance(self.video, np.ndarray):
                count = len(self._order(rate))
            else:
                count = count_frames(self.video, rate, self.start, self.duration)
            self._frame_counts[rate] = count
        if not self._frame_counts[rate]:
            name = "the array" if isinstance(self.video, np.ndarray) else str(self.video)
            raise MediaError(f"{name} has no frame from {self.start:g} s on; choose an earlier start")
        return VideoPixelShape(1, self._frame_counts[rate], streams.height, streams.width, float(rate))

    def frames(self, frame_rate: float | None = None, limit: int | None = None) -> Iterator[np.ndarray]:
        """Frames one after the other: uint8 (H, W, 3).

        Args:
            frame_rate: to repeat or drop frames for; None: the clip's own.
            limit: frames at most.

        Raises:
            MediaError: the file is missing or no video.
        """
        rate = self._rate(frame_rate)
        if isinstance(self.video, np.ndarray):
            yield from (self.video[index] for index in self._order(rate)[:limit])
        else:
            cut = {"start": self.start, "duration": self.duration}
            yield from stream_frames(self.video, self._streams, rate, limit=limit, **cut)  # type: ignore[arg-type]

    def pixels(self, height: int, width: int, num_frames: int, frame_rate: float | None = None) -> mx.array:
        """The clip as the video encoder takes it: resized to cover the size and cut to its middle.

        Returns:
            (1, 3, num_frames, height, width) float32 in [-1, 1].

        Raises:
            MediaError: the file cannot be read or has fewer frames.
        """
        out = np.empty((1, 3, num_frames, height, width), np.float32)
        count = 0
        for frame in self.frames(frame_rate, num_frames):
            out[:, :, count : count + 1] = normalize_images(resize_and_center_crop(frame, height, width))
            count += 1
        if count < num_frames:
            raise MediaError(f"{self.describe()['video']} has {count} frames; {num_frames} are needed")
        return mx.array(out)

    @property
    def has_sound(self) -> bool:
        """Whether `sound` gives any."""
        return bool(self._streams.sampling_rate)

    def sound(self, duration: float | None = None) -> Audio | None:
        """Stereo sound of the clip at its own rate, or None where there is none.

        Args:
            duration: seconds at most.

        Raises:
            MediaError: the file is missing or no video.
        """
        limits = [seconds for seconds in (self.duration, duration) if seconds is not None]
        if isinstance(self.video, np.ndarray):
            source: str | Path | Audio | None = self.audio
        else:
            source = self.video if self._streams.sampling_rate else None
        return None if source is None else read_audio(source, self.start, min(limits, default=None))


def read_frames(path: str | Path, limit: int | None = None) -> np.ndarray:
    """The first frames of a file, uint8 (F, H, W, 3), all if `limit` is None.

    Raises:
        MediaError: the file is missing or no video, or has no frames.
    """
    frames = list(VideoInput(path).frames(limit=limit))
    if not frames:
        raise MediaError(f"{path} has no frames")
    return np.stack(frames)


def read_audio(source: str | Path | Audio, start: float = 0.0, duration: float | None = None) -> Audio:
    """Stereo sound, float32 (2, samples), at its own rate.

    Args:
        source: path of any file that ffmpeg reads, a video's too, or mono or stereo samples.
        start: seconds into it where it begins.
        duration: seconds to take at most; None: to its end.

    Raises:
        ConfigError: a range that is none, or samples of more than two channels.
        MediaError: the file is missing, has no sound, or none from `start` on.
    """
    check_range("audio", start, duration)
    if isinstance(source, Audio):
        name, rate, samples = "the sound", source.sampling_rate, _stereo(source.waveform)
        first = round(start * rate)
        samples = samples[:, first : None if duration is None else first + round(duration * rate)]
    else:
        name, streams = str(source), read_streams(source)
        if not (rate := streams.sampling_rate):
            raise MediaError(f"{source} has no sound; give a file that has")
        samples = read_samples(source, streams, start, duration)
    if not samples.size:
        raise MediaError(f"{name} has no samples from {start:g} s on; choose an earlier start")
    return Audio(mx.array(samples), rate)


def check_range(name: str, start: float, duration: float | None) -> None:
    """Raise ConfigError unless a range of seconds begins at 0 or later and is not empty."""
    if not (math.isfinite(start) and start >= 0):
        raise ConfigError(f"{name} start {start} is not a time in seconds, 0 or later")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise ConfigError(f"{name} duration {duration} is not a number of seconds above 0")


def _stereo(waveform: mx.array) -> np.ndarray:
    samples = np.array(waveform, np.float32)
    if samples.ndim != 2 or samples.shape[0] not in (1, 2):
        raise ConfigError(f"a waveform is (1, samples) or (2, samples), got {samples.shape}")
    return np.repeat(samples, 2, axis=0) if samples.shape[0] == 1 else samples
