"""What a caller asks for: one frozen dataclass for each pipeline, checked when it is made."""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ltx_core import ConfigError, MultiModalGuiderParams

from ltx_pipelines.images import ImageCondition

FRAME_STEP = 8
# Two latents along each side: the decoder of LTX-2.0 mirrors at its borders and has nothing to mirror in one.
MIN_SIZE = 64


def check_frames(num_frames: int) -> None:
    """Raise ConfigError unless `num_frames` is 8 k + 1, naming the nearest that are."""
    if num_frames < 1 or (num_frames - 1) % FRAME_STEP:
        below = max((num_frames - 1) // FRAME_STEP, 0) * FRAME_STEP + 1
        raise ConfigError(
            f"num_frames {num_frames} is not 8 k + 1 (1, 9, 17, ..., 121); the nearest are {below} and "
            f"{below + FRAME_STEP}"
        )


def check_size(name: str, value: int, multiple: int) -> None:
    """Raise ConfigError unless a side is a multiple of `multiple` and at least 64 pixels."""
    if value < MIN_SIZE or value % multiple:
        below = max(value // multiple * multiple, math.ceil(MIN_SIZE / multiple) * multiple)
        raise ConfigError(
            f"{name} {value} is not a multiple of {multiple} of at least {MIN_SIZE} pixels; the nearest are "
            f"{below} and {below + multiple}"
        )


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """What every clip has.

    Attributes:
        prompt: what to show and to sound.
        height, width: of the finished clip in pixels; multiples of 32, of 64 for two-stage pipelines.
        num_frames: 8 k + 1.
        frame_rate: frames per second of the clip; the model was made for 24 and works for 8 to 60.
        seed: of all noise; the same seed on the same machine gives the same bytes.
        images: frames to start from, pass through or end at.
        generate_audio: False gives a silent clip, made by the video half of the network alone.
    """

    size_multiple: ClassVar[int] = 32

    prompt: str
    height: int = 512
    width: int = 768
    num_frames: int = 121
    frame_rate: float = 24.0
    seed: int = 10
    images: tuple[ImageCondition, ...] = ()
    generate_audio: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise ConfigError(
                f"the prompt {self.prompt!r} is empty; say what the clip should show and sound like"
            )
        check_size("height", self.height, self.size_multiple)
        check_size("width", self.width, self.size_multiple)
        check_frames(self.num_frames)
        if not (math.isfinite(self.frame_rate) and 1 <= self.frame_rate <= 240):
            raise ConfigError(f"frame_rate {self.frame_rate} is not between 1 and 240 frames per second")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed} is not between 0 and 2**63 - 1")
        for image in self.images:
            image.resolve_frame(self.num_frames)
            image.check()

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.num_frames / self.frame_rate

    def settings(self) -> dict[str, Any]:
        """The fields as plain values, for records."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["images"] = [image.describe() for image in self.images]
        return {
            name: vars(value) if isinstance(value, MultiModalGuiderParams) else value
            for name, value in values.items()
        }


def check_steps(steps: int | None, allowed: range) -> None:
    """Raise ConfigError unless a number of denoising steps is None (the model's default) or in `allowed`."""
    if steps is not None and steps not in allowed:
        raise ConfigError(
            f"num_inference_steps {steps} is not between {allowed.start} and {allowed.stop - 1} "
            "for this pipeline"
        )
