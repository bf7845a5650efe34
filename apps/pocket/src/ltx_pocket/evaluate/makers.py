"""Where clips to judge come from: the pipelines on the pocket model, and the world itself."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import mlx.core as mx
import numpy as np
from ltx_core import Audio
from ltx_pipelines import (
    ClipConfig,
    DistilledConfig,
    DistilledPipeline,
    GenerationResult,
    ImageCondition,
    OneStageConfig,
    OneStagePipeline,
    Pipeline,
    TextToVideoConfig,
    TextToVideoPipeline,
    TwoStageConfig,
    TwoStageHQConfig,
    VideoInput,
)

from ltx_pocket import configs
from ltx_pocket.evaluate.judge import Case, Made
from ltx_pocket.model import create_two_stage_hq_pipeline, create_two_stage_pipeline, open_models
from ltx_pocket.world import Scene, pack, render, synthesize


class PipelineName(StrEnum):
    """What makes the clips. The world's own clips are the truth: they show what the detectors miss."""

    distilled = "distilled"
    one_stage = "one-stage"
    text_to_video = "text-to-video"
    two_stage = "two-stage"
    two_stage_hq = "two-stage-hq"
    world = "world"


class Size(NamedTuple):
    """Of the clips to judge."""

    height: int = configs.HEIGHT
    width: int = configs.WIDTH
    num_frames: int = configs.NUM_FRAMES
    frame_rate: float = configs.FRAME_RATE

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.num_frames} frames at {self.frame_rate:g} per second"


class Maker(Protocol):
    """Makes the clip of a prompt, on from an image (H, W, 3) of uint8 if one is given."""

    def __call__(self, case: Case, image: np.ndarray | None = None) -> Made: ...


def first_frame(scene: Scene, size: Size) -> np.ndarray:
    """The scene's first picture, uint8 (H, W, 3)."""
    return to_bytes(render(pack([scene]), size.height, size.width, 1, size.frame_rate)[0, 0])


def to_bytes(pictures: mx.array) -> np.ndarray:
    """Values in [0, 1] to the nearest uint8."""
    return np.array((255 * pictures + 0.5).astype(mx.uint8))


def made_of(result: GenerationResult) -> Made:
    """The clip that a pipeline gives."""
    assert result.audio is not None
    waveform = np.array(result.audio.waveform.astype(mx.float32))
    return Made(result.frames, result.frame_rate, waveform, result.audio.sampling_rate)


def video_input(made: Made) -> VideoInput:
    """A clip for pipelines that start from one."""
    sound = Audio(mx.array(made.waveform), made.sampling_rate)
    return VideoInput(made.frames, made.frame_rate, sound)


class World:
    """The scenes themselves."""

    def __init__(self, size: Size) -> None:
        self.size = size

    def __call__(self, case: Case, image: np.ndarray | None = None) -> Made:
        packed, size = pack([case.scene]), self.size
        frames = render(packed, *size)[0]
        sound = synthesize(packed, size.num_frames / size.frame_rate, configs.OUTPUT_RATE)[0]
        return Made(to_bytes(frames), size.frame_rate, np.array(sound), configs.OUTPUT_RATE)


class Generator:
    """A pipeline with its settings.

    Args:
        pipeline: on the pocket model.
        config: its config class.
        settings: further fields of the config.
    """

    def __init__(
        self, pipeline: Pipeline[Any], config: type[ClipConfig], size: Size, settings: Mapping[str, Any]
    ) -> None:
        self.pipeline, self.config, self.size, self.settings = pipeline, config, size, settings

    def __call__(self, case: Case, image: np.ndarray | None = None) -> Made:
        images = () if image is None else (ImageCondition(image),)
        config = self.config(
            prompt=case.prompt, seed=case.seed, images=images, **self.size._asdict(), **self.settings
        )
        return made_of(self.pipeline(config))


def make_maker(
    name: PipelineName, size: Size, weights: Path, dtype: str | None = None, steps: int | None = None
) -> Maker:
    """A pipeline on the model in a folder, at the model's own guidance.

    Args:
        steps: of guided pipelines; None for the model's own.
    """
    if name is PipelineName.world:
        return World(size)
    settings = {"num_inference_steps": steps}
    if name is PipelineName.two_stage:
        return Generator(create_two_stage_pipeline(weights, dtype=dtype), TwoStageConfig, size, settings)
    if name is PipelineName.two_stage_hq:
        return Generator(create_two_stage_hq_pipeline(weights, dtype=dtype), TwoStageHQConfig, size, settings)
    models = open_models(weights, distilled=name is PipelineName.distilled, dtype=dtype)
    if name is PipelineName.distilled:
        return Generator(DistilledPipeline(models), DistilledConfig, size, {})
    if name is PipelineName.one_stage:
        return Generator(OneStagePipeline(models), OneStageConfig, size, settings)
    return Generator(TextToVideoPipeline(models), TextToVideoConfig, size, settings)
