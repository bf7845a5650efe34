"""Background and foreground: which background a clip has, and where something else is."""

from functools import lru_cache

import numpy as np

from ltx_pocket.world.backgrounds import render_backgrounds
from ltx_pocket.world.vocabulary import BACKGROUNDS

WORKING_SIZE = 128  # shorter side at which clips are judged, at least
TEXTURED = ("night", "grid", "rain")
LARGEST_MISMATCH = 0.09
LEAST_TEXTURE = 0.25
SMALLEST_AREA = 0.004  # of the picture


def reduced(video: np.ndarray) -> np.ndarray:
    """Averages blocks of pixels until the shorter side is close to WORKING_SIZE. (F, H, W, 3)."""
    factor = max(1, min(video.shape[1:3]) // WORKING_SIZE)
    frames, height, width, channels = video.shape
    height, width = height // factor * factor, width // factor * factor
    blocks = video[:, :height, :width].reshape(
        frames, height // factor, factor, width // factor, factor, channels
    )
    return blocks.mean(axis=(2, 4), dtype=np.float32)


@lru_cache(maxsize=1)  # tens of megabytes a second of clip
def _bank(height: int, width: int, num_frames: int, frame_rate: float) -> np.ndarray:
    full = render_backgrounds(2 * height, 2 * width, num_frames, frame_rate)
    return np.array(full).reshape(len(BACKGROUNDS), num_frames, height, 2, width, 2, 3).mean(axis=(3, 5))


def smoothed(picture: np.ndarray) -> np.ndarray:
    """A 3 x 3 mean over axes 1 and 2, edges repeated."""
    for axis in (1, 2):
        padding = [(0, 0)] * picture.ndim
        padding[axis] = (1, 1)
        wide = np.pad(picture, padding, mode="edge")
        length = picture.shape[axis]
        parts = [np.take(wide, range(start, start + length), axis=axis) for start in range(3)]
        picture = (parts[0] + parts[1] + parts[2]) / 3
    return picture


def _texture_present(video: np.ndarray, template: np.ndarray) -> bool:
    """Whether the fine detail of the template correlates with the clip's, where no thing is in the way."""
    detail = [(clip - smoothed(smoothed(clip))).mean(axis=-1) for clip in (video, template)]
    free = np.abs(video - template).mean(axis=-1) < 0.2
    ours, theirs = (part[free] - part[free].mean() for part in detail)
    norm = float(np.sqrt((ours**2).sum() * (theirs**2).sum()))
    return norm > 0 and float((ours * theirs).sum()) / norm > LEAST_TEXTURE


def find_background(video: np.ndarray, frame_rate: float) -> tuple[str, np.ndarray]:
    """The name of the background ("unknown" if none is near) and the nearest one's clean frames.

    video: reduced (F, H, W, 3).
    """
    frames, height, width, _ = video.shape
    bank = _bank(height, width, frames, frame_rate)
    # Clipping keeps the things, which no background explains, from deciding.
    errors = [float(np.minimum(np.abs(video - template).mean(axis=-1), 0.15).mean()) for template in bank]
    best = int(np.argmin(errors))
    name = BACKGROUNDS[best]
    if errors[best] > LARGEST_MISMATCH or (name in TEXTURED and not _texture_present(video, bank[best])):
        name = "unknown"
    return name, bank[best]


def label(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected regions (8 neighbours) of a (H, W) mask: labels from 1, and their number."""
    labels = np.zeros(mask.shape, np.int32)
    count = 0
    for row, column in zip(*np.nonzero(mask), strict=True):
        if labels[row, column]:
            continue
        count += 1
        stack = [(int(row), int(column))]
        labels[row, column] = count
        while stack:
            y, x = stack.pop()
            top, left = max(0, y - 1), max(0, x - 1)
            window = mask[top : y + 2, left : x + 2] & (labels[top : y + 2, left : x + 2] == 0)
            for dy, dx in zip(*np.nonzero(window), strict=True):
                labels[top + dy, left + dx] = count
                stack.append((int(top + dy), int(left + dx)))
    return labels, count


def foreground(video: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, float]:
    """How far every pixel is from the background, (F, H, W), and the threshold between the two."""
    away = smoothed(np.abs(smoothed(video - background)).max(axis=-1))
    threshold = float(np.clip(0.28 * np.quantile(away, 0.995), 0.05, 0.12))
    return away, threshold


def find_things(away: np.ndarray, threshold: float) -> list[np.ndarray]:
    """The swept areas (H, W, bool) of the things of a clip, the largest first.

    A thing overlaps itself from frame to frame and stays apart from the other one, so the
    connected regions of everything that was covered at some time are the things.
    """
    masks = away > threshold
    labels, count = label(masks.sum(axis=0) >= min(2, len(masks)))
    areas = [masks[:, labels == number].sum(axis=1).mean() for number in range(1, count + 1)]
    order = sorted(range(count), key=lambda number: -areas[number])
    picture = away.shape[1] * away.shape[2]
    return [labels == number + 1 for number in order if areas[number] > SMALLEST_AREA * picture]
