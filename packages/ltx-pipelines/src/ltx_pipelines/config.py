"""What a caller asks for: one frozen dataclass for each pipeline, checked when it is made."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from ltx_core import ConfigError, MultiModalGuiderFactory, MultiModalGuiderParams

from ltx_pipelines.defaults import NEGATIVE_PROMPT, PipelineDefaults
from ltx_pipelines.images import ImageCondition

Guidance = MultiModalGuiderParams | MultiModalGuiderFactory

FRAME_STEP = 8
AUDIO_LATENTS = 25
"""Of a second, in all releases."""


@dataclass(frozen=True, kw_only=True)
class GuidanceChange:
    """Some guidance parameters of a stream in place of the model's own, which None keeps; the fields are
    those of `MultiModalGuiderParams`."""

    cfg_scale: float | None = None
    stg_scale: float | None = None
    stg_blocks: Sequence[int] | None = None
    rescale_scale: float | None = None
    modality_scale: float | None = None
    skip_step: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("_scale") and value is not None and not math.isfinite(value):
                raise ConfigError(f"{name} {value} is not a finite number")
        if self.skip_step is not None and self.skip_step < 0:
            raise ConfigError(f"skip_step {self.skip_step} is negative; 0 skips no step")
        if any(block < 0 for block in self.stg_blocks or ()):
            raise ConfigError(f"stg_blocks {list(self.stg_blocks or ())} are not all block numbers from 0")

    def __call__(self, params: MultiModalGuiderParams) -> MultiModalGuiderParams:
        """The parameters with this change."""
        return replace(params, **{name: value for name, value in vars(self).items() if value is not None})


def _plain(value: Any) -> Any:
    if isinstance(value, MultiModalGuiderFactory):
        return [[bound, vars(params)] for bound, params in value.params_by_sigma]
    return vars(value) if isinstance(value, MultiModalGuiderParams | GuidanceChange) else value


def check_frames(num_frames: int) -> None:
    """Raise ConfigError unless `num_frames` is 8 k + 1, naming the nearest that are."""
    if num_frames < 1 or (num_frames - 1) % FRAME_STEP:
        below = max((num_frames - 1) // FRAME_STEP, 0) * FRAME_STEP + 1
        raise ConfigError(
            f"num_frames {num_frames} is not 8 k + 1 (1, 9, 17, ..., 121); the nearest are {below} and "
            f"{below + FRAME_STEP}"
        )


def check_size(name: str, value: int, multiple: int, minimum: int = 1) -> None:
    """Raise ConfigError unless a side is a positive multiple of `multiple` and at least `minimum` pixels."""
    minimum = max(minimum, multiple)
    if value < minimum or value % multiple:
        below = max(value // multiple * multiple, math.ceil(minimum / multiple) * multiple)
        raise ConfigError(
            f"{name} {value} is not a multiple of {multiple} of at least {minimum} pixels; the nearest are "
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
        user_prompt: what was asked for, where `enhance_prompt` has written the prompt out.
    """

    size_multiple: ClassVar[int] = 32
    has_picture: ClassVar[bool] = True

    prompt: str
    height: int = 512
    width: int = 768
    num_frames: int = 121
    frame_rate: float = 24.0
    seed: int = 10
    images: tuple[ImageCondition, ...] = ()
    generate_audio: bool = True
    user_prompt: str | None = None

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
        if self.generate_audio and round(AUDIO_LATENTS * self.seconds) < 1:
            raise ConfigError(
                f"{self.num_frames} frames at {self.frame_rate:g} per second are too short for sound; "
                "take more frames, or generate_audio False"
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed} is not between 0 and 2**63 - 1")
        for image in self.images:
            image.resolve_frame(self.num_frames)
            image.check()

    @property
    def starts_from_pictures(self) -> bool:
        """Whether some of the picture is given."""
        return bool(self.images)

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.num_frames / self.frame_rate

    def summary(self) -> str:
        """What is made, in a line for people."""
        sound = "with sound" if self.generate_audio else "silent"
        length = f"{self.num_frames} frames at {self.frame_rate:g} per second ({self.seconds:.2f} s)"
        return f"{self.width}x{self.height}, {length}, {sound}, seed {self.seed}"

    def settings(self) -> dict[str, Any]:
        """The fields as plain values, for records."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.user_prompt is None:
            del values["user_prompt"]
        values["images"] = [image.describe() for image in self.images]
        return {name: _plain(value) for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class GuidedConfig(ClipConfig):
    """A guided clip; what is None comes from the model.

    Attributes:
        negative_prompt: what to stay away from.
        num_inference_steps: denoising steps of the guided stage.
        video_guidance, audio_guidance: all guidance parameters of a stream at once, or by noise level, or a
            change of the model's own.
        cfg_scale, audio_cfg_scale: guidance of picture and sound towards the prompt, in place of the above
            value; 1 is none.
        stg_scale: spatio-temporal guidance of both streams, likewise; 0 is none.
    """

    negative_prompt: str = NEGATIVE_PROMPT
    num_inference_steps: int | None = None
    video_guidance: Guidance | GuidanceChange | None = None
    audio_guidance: Guidance | GuidanceChange | None = None
    cfg_scale: float | None = None
    audio_cfg_scale: float | None = None
    stg_scale: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.num_inference_steps, range(2, 1001))

    def steps(self, defaults: PipelineDefaults) -> int:
        """Denoising steps of the guided stage."""
        return self.num_inference_steps or defaults.num_inference_steps

    def guidance(self, defaults: PipelineDefaults) -> tuple[Guidance, Guidance]:
        """Guidance of video and audio."""
        return (
            _guidance(self.video_guidance, defaults.video, self.cfg_scale, self.stg_scale),
            _guidance(self.audio_guidance, defaults.audio, self.audio_cfg_scale, self.stg_scale),
        )


def _guidance(
    asked: Guidance | GuidanceChange | None,
    default: MultiModalGuiderParams,
    cfg_scale: float | None,
    stg_scale: float | None,
) -> Guidance:
    scales = GuidanceChange(cfg_scale=cfg_scale, stg_scale=stg_scale)
    if isinstance(asked, GuidanceChange):
        return asked(scales(default))
    return map_guidance(asked or default, scales)


def map_guidance(
    guidance: Guidance, change: Callable[[MultiModalGuiderParams], MultiModalGuiderParams]
) -> Guidance:
    """The same change in the parameters of every noise level."""
    if isinstance(guidance, MultiModalGuiderParams):
        return change(guidance)
    return replace(
        guidance, params_by_sigma=tuple((bound, change(params)) for bound, params in guidance.params_by_sigma)
    )


def check_steps(steps: int | None, allowed: range) -> None:
    """Raise ConfigError unless a number of denoising steps is None (the model's default) or in `allowed`."""
    if steps is not None and steps not in allowed:
        raise ConfigError(
            f"num_inference_steps {steps} is not between {allowed.start} and {allowed.stop - 1} "
            "for this pipeline"
        )
