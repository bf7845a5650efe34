"""Writing clips: H.264 and AAC in mp4, by the ffmpeg that imageio-ffmpeg carries."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import wave
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO, Any

import imageio_ffmpeg
import numpy as np

from ltx_pipelines.images import MediaError
from ltx_pipelines.record import append_comment


def check_output(path: str | Path, suffix: str = ".mp4") -> Path:
    """The output path, if a file can be written there; asked before hours of work, not after.

    Raises:
        MediaError: wrong suffix, a missing folder, a folder in its place, or no permission.
    """
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise MediaError(f"the output {path} must end in {suffix}")
    if path.is_dir():
        raise MediaError(f"the output {path} is a folder; give a file name in it")
    if not path.parent.is_dir():
        raise MediaError(f"the folder {path.parent} of the output does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise MediaError(f"the folder {path.parent} of the output is not writable")
    return path


def exact_rate(frame_rate: float) -> Fraction:
    """The frame rate as a fraction; 23.976, 29.97 and 59.94 mean 24000/1001 and so on."""
    ntsc = Fraction(round(frame_rate * 1.001), 1) * Fraction(1000, 1001)
    if abs(float(ntsc) - frame_rate) < 0.005 and frame_rate != round(frame_rate):
        return ntsc
    return Fraction(frame_rate).limit_denominator(1001)


def pcm16(waveform: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1], (channels, samples), as interleaved 16-bit integers (samples, channels)."""
    result: np.ndarray = (np.clip(waveform, -1, 1) * 32767).astype(np.int16).T
    return result


def write_mp4(
    path: str | Path,
    frames: Iterable[np.ndarray],
    frame_rate: float,
    waveform: np.ndarray | None = None,
    sampling_rate: int = 24000,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a clip with a constant frame rate: yuv420p BT.709, crf 19.

    The sound is never cut. Where it ends before the picture (the model's sound is up to 50 ms shorter),
    silence fills the rest, so that both tracks end together.

    Args:
        frames: uint8 (H, W, 3) each, or chunks (F, H, W, 3) of them; at least one. The next one is asked for
            while the last one is written.
        waveform: (channels, samples) in [-1, 1], or None for a silent file.
        metadata: written as JSON into the file's comment.

    Raises:
        MediaError: the path cannot be written, or ffmpeg failed. What was at `path` before stays there then.
    """
    path = check_output(path)
    rate = exact_rate(frame_rate)
    iterator = iter(frames)
    # Before anything is written: what reads the decoder's weights may fail, too.
    first = next(iterator, None)
    if first is None:
        raise MediaError("a clip needs at least one frame")
    with _beside(path) as folder:
        picture, clip = Path(folder, "picture.mp4"), Path(folder, "clip.mp4")
        count = _write_picture(picture, first, iterator, rate)
        if waveform is None:
            sound: list[str] = []
        else:
            _write_sound(Path(folder, "sound.wav"), waveform, sampling_rate, float(count / rate))
            sound = ["-i", str(Path(folder, "sound.wav"))]
        comment = ["-metadata", "comment=" + json.dumps(metadata)] if metadata else []
        codec = ["-c:v", "copy", "-c:a", "aac", "-b:a", "192k", "-movflags", "+faststart"]
        _ffmpeg(["-i", str(picture), *sound, *codec, *comment, str(clip)])
        clip.replace(path)


def write_wav(
    path: str | Path, waveform: np.ndarray, sampling_rate: int, metadata: dict[str, Any] | None = None
) -> None:
    """Write sound alone as 16-bit PCM; (channels, samples) in [-1, 1]; metadata as in `write_mp4`.

    Raises:
        MediaError: the path cannot be written. What was there before stays there then.
    """
    path = check_output(path, ".wav")
    with _beside(path) as folder:
        sound = Path(folder, "sound.wav")
        _write_sound(sound, waveform, sampling_rate, 0.0)
        if metadata:
            append_comment(sound, metadata)
        sound.replace(path)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[str]:
    """A folder of this run alone, on the same disk as a path, for what is not whole yet; it goes away."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
            yield folder
    except OSError as error:
        raise MediaError(f"{path} cannot be written: {error.strerror or error}") from error


def _write_picture(path: Path, first: np.ndarray, others: Iterator[np.ndarray], rate: Fraction) -> int:
    """The picture alone, streamed into ffmpeg; the number of frames."""
    height, width = first.shape[-3:-1]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
    colour = ["-vf", "scale=in_range=full:out_range=tv:out_color_matrix=bt709,format=yuv420p"]
    tags = ["-x264-params", "colorprim=bt709:transfer=bt709:colormatrix=bt709", "-color_range", "tv"]
    codec = ["-c:v", "libx264", "-crf", "19", "-preset", "veryfast"]
    command = [*_quiet(), *source, *colour, *codec, *tags, str(path)]
    count = 0
    # ffmpeg's messages go to a file: a full pipe that nobody reads would stop it.
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=messages,
            start_new_session=True,  # Ctrl-C is for this process, which then decides
        )
        assert process.stdin is not None
        try:
            count = _feed(process.stdin, chain([first], others))
        except BrokenPipeError:
            pass
        except BaseException:
            process.kill()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        messages.seek(0)
        if process.returncode:
            raise _failure(process.returncode, messages.read())
    return count


def _feed(pipe: IO[bytes], chunks: Iterable[np.ndarray]) -> int:
    """Write frames into a pipe, each chunk while the next is made; how many frames there were."""
    count = 0
    writing: Future[int] | None = None
    with ThreadPoolExecutor(1) as writer:
        for chunk in chunks:
            if writing is not None:
                writing.result()
            writing = writer.submit(pipe.write, np.ascontiguousarray(chunk).data)
            count += len(chunk) if chunk.ndim == 4 else 1
        if writing is not None:
            writing.result()
    return count


def _write_sound(path: Path, waveform: np.ndarray, sampling_rate: int, at_least: float) -> None:
    samples = pcm16(waveform)
    missing = round(at_least * sampling_rate) - len(samples)
    if missing > 0:
        samples = np.concatenate([samples, np.zeros((missing, samples.shape[1]), np.int16)])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(sampling_rate)
        file.writeframes(samples.tobytes())


def _quiet() -> list[str]:
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]


def _ffmpeg(arguments: list[str]) -> None:
    done = subprocess.run([*_quiet(), *arguments], capture_output=True, check=False, start_new_session=True)
    if done.returncode:
        raise _failure(done.returncode, done.stderr)


def _failure(status: int, messages: bytes) -> MediaError:
    """What ffmpeg said last, or what ended it."""
    said = " ".join(messages.decode(errors="replace").split())[-500:]
    killed = f"it was killed ({signal.strsignal(-status)})" if status < 0 else f"status {status}"
    return MediaError(f"ffmpeg failed: {said or killed}")
