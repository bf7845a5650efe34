"""What ffmpeg finds in a media file: its streams, its frames one by one, its samples."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np

from ltx_pipelines.images import MediaError

# Lists and manifests may name other files; only what lies on this machine is read.
_READ = ["-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe"]
# The default conversion to RGB trades colours for speed.
_ACCURATE = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"]


@dataclass(frozen=True)
class MediaStreams:
    """The first picture stream and the first sound stream of a file.

    Attributes:
        height, width: of the picture in pixels, upright; 0 where there is none.
        frame_rate: frames per second; 0 where there is no picture.
        sampling_rate: of the sound in Hz; 0 where there is none.
        layout: ffmpeg's name for the channels: "mono", "stereo", "5.1", ...
    """

    height: int = 0
    width: int = 0
    frame_rate: Fraction = Fraction(0)
    sampling_rate: int = 0
    layout: str = ""


def read_streams(path: str | Path) -> MediaStreams:
    """What a file holds.

    Raises:
        MediaError: the file is missing, empty, or no video or sound.
    """
    _check_file(path)
    # The streams' headers in words made for programs; ffprobe, which has better ones, does not come along.
    # Covers of songs are no picture (V instead of v).
    first = ["-map", "0:V:0?", "-map", "0:a:0?", "-frames:v", "1", "-frames:a", "1", "-f", "framecrc", "-"]
    with _output(path, ["-i", _url(path), *first]) as stream:
        facts = dict(_facts(stream))
    video = next((key[-1] for key, value in facts.items() if value == "video"), None)
    audio = next((key[-1] for key, value in facts.items() if value == "audio"), None)
    if video is None and audio is None:
        raise MediaError(f"{path} holds neither a picture nor sound")
    streams: dict[str, int | str | Fraction] = {}
    if video is not None:
        width, height = map(int, facts[f"dimensions {video}"].split("x"))
        streams |= {"height": height, "width": width, "frame_rate": 1 / Fraction(facts[f"tb {video}"])}
    if audio is not None:
        streams["sampling_rate"] = int(facts[f"sample_rate {audio}"])
        streams["layout"] = facts.get(f"channel_layout_name {audio}", "")
    return MediaStreams(**streams)  # type: ignore[arg-type]


def _facts(stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    for line in stream:
        if line.startswith(b"#") and b": " in line:
            key, value = line[1:].decode(errors="replace").strip().split(": ", 1)
            yield key, value


def _picture(
    path: str | Path, rate: Fraction, start: float, duration: float | None, limit: int | None
) -> list[str]:
    """Arguments for the picture at a constant rate; frames are repeated or dropped to meet it."""
    begin = ["-ss", f"{start:.9f}"] if start else []
    length = [] if duration is None else ["-t", f"{duration:.9f}"]
    cut = [] if limit is None else ["-frames:v", str(limit)]
    constant = ["-vf", f"fps={rate}", "-fps_mode", "cfr", *cut]
    return [*begin, *length, "-i", _url(path), "-map", "0:V:0", *_ACCURATE, *constant]


def count_frames(path: str | Path, rate: Fraction, start: float = 0.0, duration: float | None = None) -> int:
    """How many frames `stream_frames` will give; decodes them all.

    Raises:
        MediaError: ffmpeg failed.
    """
    with _output(path, [*_picture(path, rate, start, duration, None), "-f", "framecrc", "-"]) as stream:
        return sum(not line.startswith(b"#") for line in stream)


def stream_frames(
    path: str | Path,
    streams: MediaStreams,
    rate: Fraction,
    *,
    start: float = 0.0,
    duration: float | None = None,
    limit: int | None = None,
) -> Iterator[np.ndarray]:
    """Frames of a file one after the other: uint8 (H, W, 3), read-only.

    Args:
        streams: what `read_streams` found.
        rate: frames per second, the file's or another.
        start, duration: seconds; None: to the end.
        limit: frames at most.

    Raises:
        MediaError: ffmpeg failed.
    """
    raw = ["-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    size = streams.height * streams.width * 3
    with _output(path, [*_picture(path, rate, start, duration, limit), *raw]) as stream:
        while len(data := stream.read(size)) == size:
            yield np.frombuffer(data, np.uint8).reshape(streams.height, streams.width, 3)


def read_samples(
    path: str | Path, streams: MediaStreams, start: float = 0.0, duration: float | None = None
) -> np.ndarray:
    """Stereo samples of a file at its own rate: float32 (2, samples).

    One channel is given to both sides; more than two are mixed down by ffmpeg, no louder than they are.
    Silence stands where the sound begins after the picture, so that both keep in step.

    Raises:
        MediaError: ffmpeg failed.
    """
    mono = streams.layout == "mono"
    fit = f"aresample=async=1:first_pts=0:rematrix_maxval=1:ochl={'mono' if mono else 'stereo'}"
    # Cut by the filter, not by a seek, which is exact to a packet only.
    first = round(start * streams.sampling_rate)
    end = "" if duration is None else f":end_sample={first + round(duration * streams.sampling_rate)}"
    cut = f"atrim=start_sample={first}{end}"
    raw = ["-map", "0:a:0", "-af", f"{fit},{cut}", "-c:a", "pcm_f32le", "-f", "f32le", "-"]
    with _output(path, ["-i", _url(path), *raw]) as stream:
        samples = np.frombuffer(stream.read(), "<f4").astype(np.float32)
    return np.stack([samples, samples]) if mono else np.ascontiguousarray(samples.reshape(-1, 2).T)


def _check_file(path: str | Path) -> None:
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path} is a folder; give a video or sound file")
    if not path.is_file():
        raise MediaError(f"the file {path} does not exist; check the path")
    if not path.stat().st_size:
        raise MediaError(f"the file {path} is empty")


def _url(path: str | Path) -> str:
    """Keeps ffmpeg from reading a protocol or an option into a file's name."""
    return f"file:{path}"


@contextmanager
def _output(path: str | Path, arguments: list[str]) -> Iterator[IO[bytes]]:
    """ffmpeg's output while it works; a reader that stops early ends it."""
    # Messages go to a file: a full pipe that nobody reads would stop it.
    with tempfile.TemporaryFile() as messages:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), *_READ, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages)
        assert process.stdout is not None
        try:
            yield process.stdout
            ended = not process.stdout.read(1)
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            status = process.wait()
        if status and ended:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines()
            why = lines[-1].rsplit(": ", 1)[-1] if lines else f"status {status}"
            raise MediaError(f"{path} cannot be read as video or sound ({why}); any format of ffmpeg will do")
