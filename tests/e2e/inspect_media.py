"""What is really in a media file, asked of the ffmpeg that imageio-ffmpeg carries."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np


@dataclass(frozen=True)
class Clip:
    """A decoded clip: uint8 frames (F, H, W, 3), its frame rate, and sound (channels, samples) or None."""

    frames: np.ndarray
    frame_rate: float
    sound: np.ndarray | None
    sampling_rate: int
    description: str

    @property
    def sound_seconds(self) -> float:
        assert self.sound is not None
        return self.sound.shape[1] / self.sampling_rate


def read_clip(path: Path) -> Clip:
    """Decode everything: counted frames and samples, not what the container claims."""
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    frames = np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    about = subprocess.run([ffmpeg, "-i", str(path)], capture_output=True, text=True, check=False).stderr
    line = next((line for line in about.splitlines() if "Audio:" in line), None)
    if line is None:
        return Clip(frames, meta["fps"], None, 0, about)
    rate = int(next(part for part in line.split(", ") if part.endswith(" Hz")).split()[0])
    channels = 2 if "stereo" in line else 1
    raw = subprocess.run(
        [ffmpeg, "-v", "error", "-i", str(path), "-vn", "-f", "f32le", "-"], capture_output=True, check=True
    ).stdout
    sound = np.frombuffer(raw, np.float32).reshape(-1, channels).T
    return Clip(frames, meta["fps"], sound, rate, about)
