"""Pictures of an unfinished clip without its decoder: a linear map from latents to colours.

A latent pixel stands for a block of pixels (8 x 32 x 32 in LTX-2). Its mean colour is nearly linear in its
channels; how, is found by least squares on pictures that the model's own encoder has encoded.
"""

import contextlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import mlx.core as mx
import numpy as np
from ltx_core import LTXError
from ltx_loaders.fingerprint import fingerprint
from PIL import Image

from ltx_pipelines.atomic import write_atomically
from ltx_pipelines.latent_cache import cache_folder
from ltx_pipelines.models import CheckpointModels

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource

FORMAT = 1
CELLS = 4
"""Height and width of the fitted pictures in latent pixels."""
MOVING = 3
"""Of so many pictures one has a second latent frame; stills take less time."""
SAMPLES_PER_CHANNEL = 4
FEWEST = 8
HELD_OUT = 4
"""Of so many pictures one is kept to judge the map by."""
RIDGE = 1e-3

MOST_FRAMES, HEIGHT, GAP = 6, 160, 4


@dataclass(frozen=True, eq=False)
class LatentToRGB:
    """The map.

    Attributes:
        matrix: (C + 1, 3) from channels and a constant to red, green and blue in [-1, 1].
        quality: share of the colours' variance that it explains in pictures that it was not fitted to: 1 is
            all of it; below about 0.5 its pictures show little.
    """

    matrix: np.ndarray
    quality: float

    def __call__(self, latent: mx.array) -> np.ndarray:
        """Pictures of a latent (1, C, F, h, w): uint8 (F, h, w, 3)."""
        channels = np.array(latent[0].astype(mx.float32)).transpose(1, 2, 3, 0)
        colours = channels @ self.matrix[:-1] + self.matrix[-1]
        result: np.ndarray = ((colours.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
        return result


def latent_to_rgb(models: "ModelSource", folder: Path | None = None) -> LatentToRGB:
    """The map of a model's video autoencoder: fitted once, which reads its encoder, and then kept on disk.

    Args:
        folder: where it is kept; None: `previews` in `cache_folder()`.
    """
    path = None
    # What is damaged, or of a kind that is not known, is made anew.
    with contextlib.suppress(OSError, LTXError, ValueError, KeyError, BadZipFile):
        path = (folder or cache_folder() / "previews") / f"{_key(models)}.npz"
        with np.load(path) as kept:
            return LatentToRGB(kept["matrix"], float(kept["quality"]))
    fitted = fit(models)
    if path is not None:
        file = io.BytesIO()
        np.savez(file, matrix=fitted.matrix, quality=fitted.quality)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, file.getvalue())
    return fitted


def _key(models: "ModelSource") -> str:
    """Of the checkpoint: its autoencoder is a part of it."""
    if not isinstance(models, CheckpointModels):
        raise LTXError("networks that come from elsewhere than files have no name to be kept by")
    digests = [fingerprint(file.header.path) for file in models.checkpoint.files]
    return f"{FORMAT}-{'-'.join(digests)}"[:120]


def fit(models: "ModelSource") -> LatentToRGB:
    """The map, found anew."""
    from ltx_models.video_vae import TileSizeConfig

    factors = models.layout.scale_factors
    shape = 1 + factors.time, CELLS * factors.height, CELLS * factors.width
    latents, colours = [], []
    with models.video_encoder() as encoder:
        for index, clip in enumerate(pictures(*shape)):
            picture = clip if index % MOVING == 0 else clip[:1]
            pixels = mx.array(picture.transpose(3, 0, 1, 2)[None])
            latent = encoder.tiled_encode(pixels, TileSizeConfig.default()).astype(mx.float32)
            channels = np.array(latent[0])
            latents.append(channels.reshape(len(channels), -1).T)
            colours.append(_cell_means(picture, factors.time))
            enough = SAMPLES_PER_CHANNEL * (len(channels) + 1)
            if len(latents) >= FEWEST and sum(map(len, latents)) >= enough:
                break
    return least_squares(latents, colours)


def _cell_means(picture: np.ndarray, time: int) -> np.ndarray:
    """Mean colour of each block of pixels that a latent pixel stands for: (cells, 3)."""
    frames, height, width, _ = picture.shape
    blocks = picture.reshape(frames, CELLS, height // CELLS, CELLS, width // CELLS, 3).mean((2, 4))
    groups = np.split(blocks, range(1, frames, time))
    return np.stack([group.mean(0) for group in groups]).reshape(-1, 3)


def least_squares(latents: list[np.ndarray], colours: list[np.ndarray]) -> LatentToRGB:
    """The map from latent pixels (N, C) to colours (N, 3) of each picture; every fourth one judges it."""
    judges = range(HELD_OUT - 1, len(latents), HELD_OUT)
    fitted = [index for index in range(len(latents)) if index not in judges]
    known, wanted = (np.concatenate([part[index] for index in fitted]) for part in (latents, colours))
    middle, mean = known.mean(0, dtype=np.float64), wanted.mean(0, dtype=np.float64)
    known, wanted = known - middle, wanted - mean
    square = known.T @ known
    # Channels that say the same, or nothing, must not cancel each other in large numbers.
    weight = RIDGE * np.trace(square) / len(square)
    matrix = np.linalg.solve(square + weight * np.eye(len(square)), known.T @ wanted)
    seen, guessed = (np.concatenate([part[index] for index in judges]) for part in (colours, latents))
    errors = seen - mean - (guessed - middle) @ matrix
    quality = 1 - float((errors**2).sum() / ((seen - seen.mean(0)) ** 2).sum())
    return LatentToRGB(np.vstack([matrix, mean - middle @ matrix]).astype(np.float32), quality)


def pictures(frames: int, height: int, width: int) -> Iterator[np.ndarray]:
    """Short clips without end, the same ones each time: soft colours, and patches that move over them.
    (F, H, W, 3) float32 in [-1, 1]."""
    random = np.random.default_rng(0)
    grid = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    while True:
        clip = np.empty((frames, height, width, 3))
        waves = (
            random.normal(size=(4, 2)) * 2,
            random.uniform(0, 2 * math.pi, (4, 3)),
            random.normal(size=(4, 3)),
        )
        patches = [
            (
                random.uniform(0, 1, 2),
                random.uniform(-0.5, 0.5, 2),
                random.uniform(0.05, 0.3, 2),
                random.uniform(-1, 1, 3),
            )
            for _ in range(random.integers(1, 8))
        ]
        ground = random.uniform(-0.8, 0.8, 3)
        for index in range(frames):
            time = index / max(frames - 1, 1)
            phase = np.tensordot(waves[0], grid, 1)[..., None] * math.pi + waves[1][:, None, None] + time
            picture = ground + 0.2 * (np.sin(phase) * waves[2][:, None, None]).sum(0)
            for place, way, size, colour in patches:
                centre = (place + way * time)[:, None, None]
                inside = (((grid - centre) / size[:, None, None]) ** 2).sum(0) < 1
                picture[inside] = colour
            clip[index] = picture
        yield clip.clip(-1, 1).astype(np.float32)


def picture_strip(frames: np.ndarray, path: Path) -> None:
    """Write up to six of the frames, evenly spread, side by side as a png of 160 pixels in height.

    Args:
        frames: uint8 (F, H, W, 3).

    Raises:
        OSError: it cannot be written; what was at `path` before is still there.
    """
    chosen = frames[np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).round().astype(int)]
    size = round(chosen.shape[2] * HEIGHT / chosen.shape[1]), HEIGHT
    strip = Image.new("RGB", (len(chosen) * (size[0] + GAP) - GAP, HEIGHT))
    for index, frame in enumerate(chosen):
        strip.paste(
            Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC), (index * (size[0] + GAP), 0)
        )
    file = io.BytesIO()
    strip.save(file, "png")
    write_atomically(path, file.getvalue())
