"""Frames that are decoded while they are written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import imageio_ffmpeg
import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from ltx_core import Audio
from ltx_core.types import VIDEO_SCALE_FACTORS
from ltx_pipelines import Cancelled, GenerationResult, StageEvent
from ltx_pipelines.decoding import LatentVideo, decode_frames
from ltx_pipelines.events import ignore
from ltx_pipelines.media import write_mp4


class Models:
    """A decoder whose frames get lighter one by one, in chunks of 8; it counts what it is asked for."""

    def __init__(self) -> None:
        self.layout = SimpleNamespace(scale_factors=VIDEO_SCALE_FACTORS)
        self.decoded = 0
        self.fails_at: int | None = None

    @contextmanager
    def video_decoder(self) -> Iterator[Any]:
        yield self

    def decode_video(self, latent: mx.array, tiling: object) -> Iterator[mx.array]:
        frames = 8 * (latent.shape[2] - 1) + 1
        for first in range(0, frames, 8):
            if self.fails_at is not None and first >= self.fails_at:
                raise RuntimeError("decoder died")
            self.decoded += 1
            levels = mx.arange(first, min(first + 8, frames)).reshape(-1, 1, 1, 1) / 255
            yield mx.broadcast_to(levels + 0.5 / 255, (len(levels), 64, 96, 3))


def result(models: Models, on_step: Any = ignore) -> GenerationResult:
    latent = mx.zeros((1, 4, 4, 2, 3))
    video = LatentVideo(cast(Any, models), latent, on_step)
    return GenerationResult(video, Audio(mx.zeros((2, 9000)), 24000), latent, None, 24.0, {})


def test_frames_are_decoded_when_they_are_asked_for_and_once() -> None:
    models, events = Models(), list[StageEvent]()
    clip = result(models, events.append)
    assert clip.num_frames == 25
    assert not models.decoded
    assert not events
    assert clip.frames.shape == (25, 64, 96, 3)
    assert clip.frames[:, 0, 0, 0].tolist() == list(range(25))
    assert models.decoded == 4
    assert [(event.stage, event.index, event.total) for event in events] == [
        ("decode video", done, 25) for done in (0, 8, 16, 24, 25)
    ]
    want = decode_frames(cast(Any, models), clip.video_latent, ignore)
    np.testing.assert_array_equal(clip.frames, want)
    assert decode_frames(cast(Any, models), None, ignore).shape == (0, 0, 0, 3)


def test_a_file_is_the_same_whether_the_frames_were_asked_for_or_not(tmp_path: Path) -> None:
    models = Models()
    streamed, asked = result(models), result(models)
    assert len(asked.frames) == 25
    models.decoded = 0
    streamed.save(tmp_path / "streamed.mp4")
    assert models.decoded == 4
    asked.save(tmp_path / "asked.mp4")
    assert models.decoded == 4
    assert (tmp_path / "streamed.mp4").read_bytes() == (tmp_path / "asked.mp4").read_bytes()
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "streamed.mp4"))[0] == 25


@pytest.mark.parametrize("fails_at", [0, 16])
def test_a_decoder_that_fails_leaves_nothing_and_can_be_asked_again(tmp_path: Path, fails_at: int) -> None:
    models = Models()
    clip = result(models)
    models.fails_at = fails_at
    with pytest.raises(RuntimeError, match="decoder died"):
        clip.save(tmp_path / "clip.mp4")
    assert not list(tmp_path.iterdir())
    models.fails_at = None
    clip.save(tmp_path / "clip.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_cancelled_while_it_is_written(tmp_path: Path) -> None:
    def on_step(event: StageEvent) -> None:
        if event.index >= 16:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        result(Models(), on_step).save(tmp_path / "clip.mp4")
    assert not list(tmp_path.iterdir())


def test_chunks_of_any_length_are_one_clip(tmp_path: Path) -> None:
    frames = np.repeat(np.arange(0, 230, 10, dtype=np.uint8), 64 * 64 * 3).reshape(-1, 64, 64, 3)
    write_mp4(tmp_path / "frames.mp4", frames, 24.0)
    write_mp4(tmp_path / "chunks.mp4", [frames[:1], frames[1:9], frames[9:], frames[:0]], 24.0)
    assert (tmp_path / "frames.mp4").read_bytes() == (tmp_path / "chunks.mp4").read_bytes()
