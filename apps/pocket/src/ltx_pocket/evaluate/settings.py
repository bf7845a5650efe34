"""What to measure, and on what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

from ltx_core import ConfigError

from ltx_pocket.evaluate.makers import PipelineName, Size

T = TypeVar("T")

NATIVE = Size()


class Part(StrEnum):
    """What can be measured. Bounces with a sound are rare among prompts, so they have a part of their own."""

    prompts = "prompts"
    bounce = "bounce"
    vae = "vae"
    guidance = "guidance"
    stages = "stages"
    image = "image"
    keyframes = "keyframes"
    ic_lora = "ic-lora"
    audio_to_video = "audio-to-video"
    text_to_audio = "text-to-audio"
    retake = "retake"
    extend = "extend"
    frame_rate = "frame-rate"
    style = "style"


class Track(Protocol):
    """The items unchanged, while someone watches how far it has come."""

    def __call__(self, items: Sequence[T], what: str) -> Iterable[T]: ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to measure.

    Attributes:
        out: folder of the report and the pictures.
        weights: folder of the model.
        pipelines: for prompts, bounces and images.
        count: clips of prompts, autoencoders and images, each.
        few: clips of every other part, and at each guidance scale.
        scales: of guidance, for picture and sound alike.
        steps: of guided pipelines; None for the model's own.
        seed: of scenes, wordings and noise.
        dtype: "float32", "bfloat16" or None for what suits the device.
    """

    out: Path
    weights: Path
    parts: tuple[Part, ...] = tuple(Part)
    pipelines: tuple[PipelineName, ...] = (PipelineName.distilled,)
    count: int = 100
    few: int = 32
    scales: tuple[float, ...] = (1, 2, 3, 5)
    steps: int | None = None
    seed: int = 7
    size: Size = NATIVE
    dtype: str | None = None

    def __post_init__(self) -> None:
        if min(self.count, self.few) < 1:
            raise ConfigError(f"at least one clip is needed, got {min(self.count, self.few)}")
