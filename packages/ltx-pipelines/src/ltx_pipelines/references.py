"""Reference videos for in-context LoRAs: fitted to the LoRA's scale, encoded, appended as conditioning."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from ltx_core import ConfigError, SpatioTemporalScaleFactors, VideoLatentShape, VideoPixelShape
from ltx_core.conditioning import (
    ConditioningItem,
    ConditioningItemAttentionStrengthWrapper,
    VideoConditionByReferenceLatent,
    downsample_mask_video_to_latent,
)
from ltx_loaders import Lora

from ltx_pipelines.events import OnStep, StageEvent
from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.media_input import VideoInput
from ltx_pipelines.resize import normalize_images, resize_and_center_crop
from ltx_pipelines.stages import StagePlan

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource

STAGE = "encode references"


@dataclass(frozen=True, eq=False)
class ReferenceVideo:
    """A clip that an in-context LoRA works from: depth, pose, edges, or the clip to change.

    Attributes:
        video: a video file, uint8 frames (F, H, W, 3), or a part of either. Its frames are taken one by one,
            whatever its frame rate; those beyond the length of the clip to make are left out.
        strength: 1 keeps the reference clean, lower values let the model change it.
    """

    video: str | Path | np.ndarray | VideoInput
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"reference strength {self.strength} is not between 0 and 1")
        _ = self.source

    @cached_property
    def source(self) -> VideoInput:
        """Where its frames come from."""
        if isinstance(self.video, VideoInput):
            return self.video
        # Frames given as an array have no rate, and need none here.
        return VideoInput(self.video, frame_rate=1.0 if isinstance(self.video, np.ndarray) else None)

    def num_frames(self, limit: int) -> int:
        """How many of its frames are used for a clip of `limit` frames.

        Raises:
            MediaError: the file is missing, or no video.
        """
        return min(self.source.shape().frames, limit)

    def describe(self) -> dict[str, Any]:
        """Plain values for records."""
        return {**self.source.describe(), "strength": self.strength}


@dataclass(frozen=True)
class ReferenceScale:
    """How much smaller than the clip a LoRA wants its references: along each side, and in time."""

    space: int = 1
    time: int = 1

    @staticmethod
    def of(loras: Sequence[LoraPathStrength]) -> "ReferenceScale":
        """From the metadata of LoRAs; one that says nothing, or 1, goes with any other.

        Raises:
            LoaderError: a file is missing, damaged or no LoRA.
            ConfigError: they contradict each other.
        """
        opened = [(str(lora), Lora.open(lora.path)) for lora in loras]
        scales: list[int] = []
        for key in ("reference_downscale_factor", "reference_temporal_scale_factor"):
            asked = [(name, getattr(lora, key)) for name, lora in opened if getattr(lora, key) != 1]
            if len({factor for _, factor in asked}) > 1:
                listed = ", ".join(f"{name}: {factor}" for name, factor in asked)
                raise ConfigError(f"the LoRAs contradict each other in {key} ({listed}); use one at a time")
            scales.append(asked[0][1] if asked else 1)
        return ReferenceScale(*scales)

    def check_size(self, height: int, width: int) -> None:
        """Raise ConfigError unless references for a clip of this size, halved for stage 1, can be encoded."""
        multiple = 64 * self.space
        for name, value in (("height", height), ("width", width)):
            if value % multiple:
                below = max(value // multiple, 1) * multiple
                raise ConfigError(
                    f"{name} {value} does not fit the LoRA, whose references are {self.space} times smaller: "
                    f"it must be a multiple of {multiple}, such as {below} or {below + multiple}"
                )

    def frames(self, reference: ReferenceVideo, shape: VideoPixelShape) -> np.ndarray:
        """A reference for a clip at a stage's size: frame 0, then every `time`-th from frame 1 on, as the
        video VAE groups them. (1, 3, F, height, width) float32 in [0, 255]."""
        size = shape.height // self.space, shape.width // self.space
        fitted = [
            resize_and_center_crop(frame, *size)
            for index, frame in enumerate(reference.source.frames(limit=shape.frames))
            if index == 0 or (index - 1) % self.time == 0
        ]
        return np.concatenate(fitted, axis=2)

    def latent_frames(self, num_frames: int, factors: SpatioTemporalScaleFactors) -> int:
        """Latent frames of a reference of `num_frames` frames before they are thinned out."""
        return (-(-(num_frames - 1) // self.time)) // factors.time + 1


@dataclass(frozen=True, eq=False)
class AttentionStrength:
    """How strongly the clip attends to its references, and they to it.

    Attributes:
        strength: 0 to 1.
        mask: (F, H, W) in [0, 1] over the pixels of every reference, multiplied with the strength, or a
            video file of that, as bright as strong; None: the same everywhere.
    """

    strength: float = 1.0
    mask: str | Path | np.ndarray | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"conditioning_attention_strength {self.strength} is not between 0 and 1")
        mask = self.mask
        if isinstance(mask, np.ndarray) and (mask.ndim != 3 or not np.all((mask >= 0) & (mask <= 1))):
            raise ConfigError(
                f"a conditioning_attention_mask is (F, H, W) with values from 0 to 1, got {mask.shape}"
            )

    def pixels(self, shape: VideoPixelShape) -> np.ndarray | None:
        """The mask for a clip at a stage's size, (F, height, width).

        Raises:
            MediaError: the file is missing, or no video.
        """
        if self.mask is None or isinstance(self.mask, np.ndarray):
            return self.mask
        frames = VideoInput(self.mask).frames(limit=shape.frames)
        fitted = [resize_and_center_crop(frame, shape.height, shape.width).mean(axis=1) for frame in frames]
        result: np.ndarray = np.concatenate(fitted, axis=1)[0] / np.float32(255)
        return result

    def num_frames(self, limit: int) -> int | None:
        """Frames of the mask, None where there is none."""
        if self.mask is None or isinstance(self.mask, np.ndarray):
            return None if self.mask is None else len(self.mask)
        return min(VideoInput(self.mask).shape().frames, limit)

    def describe(self) -> dict[str, Any]:
        """Plain values for records."""
        mask = self.mask
        plain = f"array {mask.shape}" if isinstance(mask, np.ndarray) else None if mask is None else str(mask)
        return {"strength": self.strength, "mask": plain}


def check_masks(
    references: Sequence[ReferenceVideo],
    attention: AttentionStrength,
    scale: ReferenceScale,
    shape: VideoPixelShape,
    factors: SpatioTemporalScaleFactors,
) -> None:
    """Raise ConfigError unless the attention mask's frames can be divided over those of every reference."""
    frames = attention.num_frames(shape.frames)
    for reference in references:
        own = reference.num_frames(shape.frames)
        groups = scale.latent_frames(own, factors) - 1
        if frames is not None and groups and (frames == 1 or (frames - 1) % groups):
            raise ConfigError(
                f"the conditioning_attention_mask has {frames} frames, which cannot be divided over the "
                f"{own} of a reference; give it as many frames, or 1 + a multiple of {groups}"
            )


def encode_references(
    models: "ModelSource",
    references: Sequence[ReferenceVideo],
    shape: VideoPixelShape,
    scale: ReferenceScale,
    attention: AttentionStrength,
    on_step: OnStep,
) -> list[ConditioningItem]:
    """Conditioning items of a stage, which append the references' tokens.

    Args:
        shape: of the clip at this stage's size.
        scale: of the LoRA.
    """
    items: list[ConditioningItem] = []
    mask = attention.pixels(shape)
    on_step(StageEvent(STAGE, 0, len(references)))
    with models.video_encoder() as encode:
        for index, reference in enumerate(references, start=1):
            latent = encode(mx.array(normalize_images(scale.frames(reference, shape))))
            mx.eval(latent)
            item: ConditioningItem = VideoConditionByReferenceLatent(
                latent, scale.space, scale.time, reference.strength
            )
            if mask is not None:
                latent_shape = VideoLatentShape.from_shape(latent.shape)
                tokens = attention.strength * downsample_mask_video_to_latent(mask[None, None], latent_shape)
                item = ConditioningItemAttentionStrengthWrapper(item, tokens)
            elif attention.strength < 1:
                item = ConditioningItemAttentionStrengthWrapper(item, attention.strength)
            items.append(item)
            on_step(StageEvent(STAGE, index, len(references)))
    return items


def references_plan(references: Sequence[ReferenceVideo]) -> StagePlan:
    """`encode_references`."""
    return StagePlan(STAGE, len(references))
