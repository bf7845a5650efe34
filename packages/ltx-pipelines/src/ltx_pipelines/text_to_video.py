"""Text to video, plainly: one stage, prompt guidance only."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Unpack

from ltx_core import ConfigError, MultiModalGuiderParams

from ltx_pipelines.config import Guidance, GuidedConfig
from ltx_pipelines.defaults import PipelineDefaults
from ltx_pipelines.models import CheckpointModels, ModelOptions
from ltx_pipelines.one_stage import OneStagePipeline


@dataclass(frozen=True, kw_only=True)
class TextToVideoConfig(GuidedConfig):
    """A clip by classifier-free guidance alone (`cfg_scale`, `audio_cfg_scale`), two passes per step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("video_guidance", "audio_guidance", "stg_scale"):
            if getattr(self, name) is not None:
                raise ConfigError(f"{name} is for one-stage; text-to-video knows prompt guidance (cfg_scale)")

    def guidance(self, defaults: PipelineDefaults) -> tuple[Guidance, Guidance]:
        """Prompt guidance of video and audio, and no other."""
        video, audio = (
            MultiModalGuiderParams(cfg_scale=params.cfg_scale) for params in (defaults.video, defaults.audio)
        )
        return super().guidance(replace(defaults, video=video, audio=audio))


class TextToVideoPipeline(OneStagePipeline):
    """Encode the prompt, denoise under prompt guidance, decode."""

    name: ClassVar[str] = "text-to-video"


def create_text_to_video_pipeline(
    checkpoint: str | Path, gemma: str | Path, **options: Unpack[ModelOptions]
) -> TextToVideoPipeline:
    """The pipeline on files; arguments and errors as `CheckpointModels`."""
    return TextToVideoPipeline(CheckpointModels(checkpoint, gemma, **options))
