"""`ltx pocket pictures`: what each pipeline makes with the pocket model, for the documentation."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from ltx_core.blas import limit_threads
from ltx_pipelines import (
    AudioToVideoConfig,
    ClipConfig,
    DistilledConfig,
    ExtendConfig,
    GenerationResult,
    ICLoraConfig,
    ImageCondition,
    KeyframeInterpolationConfig,
    OneStageConfig,
    Pipeline,
    ReferenceVideo,
    RetakeConfig,
    TextToAudioConfig,
    TextToVideoConfig,
    TwoStageConfig,
    TwoStageHQConfig,
    VideoInput,
)
from PIL import Image

from ltx_pocket import model as pocket
from ltx_pocket.evaluate.following import reference
from ltx_pocket.evaluate.judge import Case, Made
from ltx_pocket.evaluate.makers import Size, World, video_input
from ltx_pocket.evaluate.strips import spectrogram, stacked, strip, waveform
from ltx_pocket.files import WEIGHTS
from ltx_pocket.world import Scene, Thing

PROMPT = "a red ball bouncing over the sea"
BALL = Thing("circle", "red", "medium", "right", 0.25, 0.42, 0.45)
RIGHT = Scene((BALL,), "sea", "low")
BOUNCE = Scene((replace(BALL, motion="bounce", x=0.5, y=0.7, period=1.0, phase=0.5),), "sea", "pulse")
AROUND = Scene((replace(BALL, motion="circle", x=0.5, y=0.5, extent=0.22, period=2.6),), "sea", "silence")

GUIDED: dict[str, tuple[Callable[..., Pipeline[Any]], type[ClipConfig]]] = {
    "text-to-video": (pocket.create_text_to_video_pipeline, TextToVideoConfig),
    "one-stage": (pocket.create_one_stage_pipeline, OneStageConfig),
    "two-stage": (pocket.create_two_stage_pipeline, TwoStageConfig),
    "two-stage-hq": (pocket.create_two_stage_hq_pipeline, TwoStageHQConfig),
}
"""Pipelines that make a clip of nothing but a prompt, in many steps."""


FIRST = "first-clip"
"""The picture of the README."""


class Gallery:
    """The pictures, by the names of the pipelines; each is made when it is asked for.

    Args:
        weights: folder of the model.
        size: of the clips.
    """

    def __init__(self, weights: Path, size: Size) -> None:
        self.weights, self.size, self.world = weights, size, World(size)
        self.first: GenerationResult = pocket.create_distilled_pipeline(weights)(
            DistilledConfig(prompt=PROMPT, **size._asdict())
        )

    def pictures(self) -> dict[str, Callable[[], np.ndarray]]:
        """What makes each picture (H, W, 3)."""
        return {
            FIRST: self.first_clip,
            "distilled": lambda: strip(self.first.frames),
            **{name: partial(self.guided, name) for name in GUIDED},
            "keyframes": self.keyframes,
            "ic-lora": self.ic_lora,
            "audio-to-video": self.audio_to_video,
            "retake": self.retake,
            "extend": self.extend,
            "text-to-audio": self.text_to_audio,
        }

    def first_clip(self) -> np.ndarray:
        """The clip of the README's first command, and the waveform of its sound."""
        assert self.first.audio is not None
        return stacked(strip(self.first.frames), waveform(np.array(self.first.audio.waveform)))

    def guided(self, name: str) -> np.ndarray:
        """A clip of nothing but a prompt, in many steps."""
        create, config = GUIDED[name]
        return strip(create(self.weights)(config(prompt=PROMPT, **self.size._asdict())).frames)

    def truth(self, scene: Scene) -> Made:
        """The scene itself."""
        return self.world(Case(scene, "", frozenset(), 0))

    def keyframes(self) -> np.ndarray:
        """A clip between the first and the last picture of a scene."""
        frames = self.truth(RIGHT).frames
        config = KeyframeInterpolationConfig(
            prompt="a red ball moving right over the sea",
            images=(ImageCondition(frames[0], frame=0), ImageCondition(frames[-1], frame=-1)),
            **self.size._asdict(),
        )
        return strip(pocket.create_keyframe_interpolation_pipeline(self.weights)(config).frames)

    def ic_lora(self) -> np.ndarray:
        """A reference, and the clip after it."""
        video = reference(AROUND, self.size)
        config = ICLoraConfig(
            prompt="a red ball over the sea",
            video_conditioning=(ReferenceVideo(video),),
            **self.size._asdict(),
        )
        made = pocket.create_ic_lora_pipeline(self.weights)(config)
        return stacked(strip(video), strip(made.frames))

    def audio_to_video(self) -> np.ndarray:
        """A sound, and the clip to it."""
        sound = video_input(self.truth(BOUNCE)).audio
        assert sound is not None
        config = AudioToVideoConfig(prompt=PROMPT, audio=sound, **self.size._asdict())
        made = pocket.create_audio_to_video_pipeline(self.weights)(config)
        return stacked(spectrogram(np.array(sound.waveform), sound.sampling_rate), strip(made.frames))

    def retake(self) -> np.ndarray:
        """A clip, and the same with its middle made anew."""
        seconds = self.size.num_frames / self.size.frame_rate
        config = RetakeConfig(
            prompt="a blue ball bouncing over the sea",
            source=self.source(),
            start_time=seconds / 3,
            end_time=seconds * 2 / 3,
        )
        made = pocket.create_retake_pipeline(self.weights)(config)
        return stacked(strip(self.first.frames), strip(made.frames))

    def extend(self) -> np.ndarray:
        """A clip and what comes then."""
        new = max(self.size.num_frames // 16, 1) * 8
        config = ExtendConfig(
            prompt=PROMPT, source=self.source(), new_frames=new, num_frames=self.size.num_frames
        )
        return strip(pocket.create_extend_pipeline(self.weights)(config).frames, count=7)

    def text_to_audio(self) -> np.ndarray:
        """The pitches of a sound."""
        slow = TextToAudioConfig(
            prompt="slow drum beats", duration=self.size.num_frames / self.size.frame_rate
        )
        sound = pocket.create_text_to_audio_pipeline(self.weights)(slow).audio
        assert sound is not None
        return spectrogram(np.array(sound.waveform), sound.sampling_rate)

    def source(self) -> VideoInput:
        """The first clip, to start from."""
        return VideoInput(self.first.frames, self.first.frame_rate, self.first.audio)


def pictures(
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs/pictures"),
    only: Annotated[str | None, typer.Option(help=f"Make this one alone, such as {FIRST}.")] = None,
    frame: Annotated[
        Path | None, typer.Option(help="Write a frame of the first clip here, as it is, too.")
    ] = None,
    weights: Annotated[Path, typer.Option(help="Folder of the model.")] = WEIGHTS,
    height: Annotated[int, typer.Option(help="Pixels.")] = Size().height,
    width: Annotated[int, typer.Option(help="Pixels.")] = Size().width,
    num_frames: Annotated[int, typer.Option(help="8 k + 1.")] = Size().num_frames,
) -> None:
    """Make the pictures of README.md and docs/pipelines.md: what each pipeline does with this model."""
    limit_threads(1)
    gallery = Gallery(weights, Size(height, width, num_frames))
    out.mkdir(parents=True, exist_ok=True)
    if frame is not None:
        middle = gallery.first.frames[len(gallery.first.frames) // 2]
        Image.fromarray(middle).save(frame, optimize=True)
    for name, make in gallery.pictures().items():
        if only not in (None, name):
            continue
        path = out / f"{name}.webp"
        Image.fromarray(make()).save(path, quality=80, method=6)
        typer.echo(f"{path}: {path.stat().st_size} bytes", err=True)
