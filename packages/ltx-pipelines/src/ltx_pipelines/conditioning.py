"""Conditioning of the video by images: read and re-compressed once, encoded anew at each stage's size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
from ltx_core import VideoPixelShape
from ltx_core.conditioning import (
    ConditioningItem,
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
)

from ltx_pipelines.config import ClipConfig, check_size
from ltx_pipelines.images import image_tensor

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource


@dataclass(frozen=True)
class PreparedImage:
    """A conditioning image, read and re-compressed: pixels (H, W, 3) for a pixel frame counted from 0."""

    pixels: np.ndarray
    frame: int
    strength: float


def check_sides(config: ClipConfig, models: "ModelSource") -> None:
    """Raise ConfigError if the clip is smaller than the model can decode."""
    for name in ("height", "width"):
        check_size(name, getattr(config, name), config.size_multiple, models.layout.min_size)


def prepare_images(config: ClipConfig, models: "ModelSource") -> list[PreparedImage]:
    """Read every image of a config, and re-compress it.

    Raises:
        ConfigError: the model cannot decode so small a clip.
    """
    check_sides(config, models)
    crf = models.defaults.image_crf
    return [
        PreparedImage(image.pixels(crf), image.resolve_frame(config.num_frames), image.strength)
        for image in config.images
    ]


def encode_images(
    models: "ModelSource", images: Sequence[PreparedImage], shape: VideoPixelShape
) -> list[ConditioningItem]:
    """Conditioning items of a stage at its own size: an image at frame 0 replaces the first latent frame,
    one at any other frame is appended as a keyframe."""

    def item(latent: mx.array, image: PreparedImage) -> ConditioningItem:
        if image.frame == 0:
            return VideoConditionByLatentIndex(latent, image.strength, latent_idx=0)
        return VideoConditionByKeyframeIndex(latent, image.frame, image.strength)

    return _encode(models, images, shape, item)


def encode_keyframes(
    models: "ModelSource", images: Sequence[PreparedImage], shape: VideoPixelShape
) -> list[ConditioningItem]:
    """Conditioning items that append every image as a keyframe, also one at frame 0."""
    return _encode(
        models,
        images,
        shape,
        lambda latent, image: VideoConditionByKeyframeIndex(latent, image.frame, image.strength),
    )


def _encode(
    models: "ModelSource",
    images: Sequence[PreparedImage],
    shape: VideoPixelShape,
    item: Callable[[mx.array, PreparedImage], ConditioningItem],
) -> list[ConditioningItem]:
    if not images:
        return []
    items: list[ConditioningItem] = []
    with models.video_encoder() as encode:
        for image in images:
            latent = encode(image_tensor(image.pixels, shape.height, shape.width))
            mx.eval(latent)
            items.append(item(latent, image))
    return items
