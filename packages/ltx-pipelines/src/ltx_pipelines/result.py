"""What a pipeline returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from ltx_core import Audio

from ltx_pipelines.media import write_mp4


@dataclass(frozen=True, eq=False)
class GenerationResult:
    """A finished clip.

    Attributes:
        frames: uint8 (F, H, W, 3), RGB.
        audio: the sound, or None if none was made.
        video_latent: (1, C, f, h, w), what the video decoder received.
        audio_latent: (1, C, T, M), what the audio decoder received, or None.
        frame_rate: frames per second.
        settings: what it was made with, as plain values.
    """

    frames: np.ndarray
    audio: Audio | None
    video_latent: mx.array
    audio_latent: mx.array | None
    frame_rate: float
    settings: dict[str, Any]

    def save(self, path: str | Path) -> Path:
        """Write the clip as an mp4 file, with the settings in its comment.

        Raises:
            MediaError: the path cannot be written, or ffmpeg failed; nothing is left there then.
        """
        sound = (
            {}
            if self.audio is None
            else {
                "waveform": np.array(self.audio.waveform),
                "sampling_rate": self.audio.sampling_rate,
            }
        )
        write_mp4(path, self.frames, self.frame_rate, metadata=self.settings, **sound)
        return Path(path)
