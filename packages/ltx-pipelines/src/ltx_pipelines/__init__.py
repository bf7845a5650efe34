"""LTX-2 recipes on MLX: from a prompt to a clip with sound."""

import ltx_core  # noqa: F401  (loads the BLAS before mlx)

from ltx_pipelines.audio_to_video import (
    AudioToVideoConfig,
    AudioToVideoPipeline,
    create_audio_to_video_pipeline,
)
from ltx_pipelines.config import ClipConfig, GuidanceChange
from ltx_pipelines.defaults import PipelineDefaults
from ltx_pipelines.devices import Devices, Division
from ltx_pipelines.distillation import ModelWarning
from ltx_pipelines.distilled import DistilledConfig, DistilledPipeline, create_distilled_pipeline
from ltx_pipelines.enhance import enhance_prompt
from ltx_pipelines.events import Cancelled, OnStep, StageEvent
from ltx_pipelines.extend import ExtendConfig, ExtendPipeline, create_extend_pipeline
from ltx_pipelines.frame_rate import double_frame_rate
from ltx_pipelines.ic_lora import ICLoraConfig, ICLoraPipeline, create_ic_lora_pipeline
from ltx_pipelines.images import ImageCondition, MediaError
from ltx_pipelines.keyframes import (
    KeyframeInterpolationConfig,
    KeyframeInterpolationPipeline,
    create_keyframe_interpolation_pipeline,
)
from ltx_pipelines.latent_cache import LatentCache
from ltx_pipelines.loras import LoraPathStrength, require_distilled_lora
from ltx_pipelines.media import check_output
from ltx_pipelines.media_input import VideoInput, read_audio
from ltx_pipelines.metadata import settings_hash, settings_of
from ltx_pipelines.models import CheckpointModels, ModelSource
from ltx_pipelines.one_stage import OneStageConfig, OneStagePipeline, create_one_stage_pipeline
from ltx_pipelines.preview import LatentToRGB, latent_to_rgb
from ltx_pipelines.prompt import PromptContext
from ltx_pipelines.protocol import Pipeline
from ltx_pipelines.record import read_settings
from ltx_pipelines.references import ReferenceVideo
from ltx_pipelines.residency import Memory
from ltx_pipelines.result import GenerationResult
from ltx_pipelines.retake import RetakeConfig, RetakePipeline, create_retake_pipeline
from ltx_pipelines.saved import SavedStage, StageStore
from ltx_pipelines.stages import StagePlan
from ltx_pipelines.text_to_audio import (
    TextToAudioConfig,
    TextToAudioPipeline,
    create_text_to_audio_pipeline,
)
from ltx_pipelines.text_to_video import (
    TextToVideoConfig,
    TextToVideoPipeline,
    create_text_to_video_pipeline,
)
from ltx_pipelines.tripwires import BrokenSignalError
from ltx_pipelines.two_stage import TwoStageConfig, TwoStagePipeline, create_two_stage_pipeline
from ltx_pipelines.two_stage_hq import (
    TwoStageHQConfig,
    TwoStageHQPipeline,
    create_two_stage_hq_pipeline,
)

__all__ = [
    "AudioToVideoConfig",
    "AudioToVideoPipeline",
    "BrokenSignalError",
    "Cancelled",
    "CheckpointModels",
    "ClipConfig",
    "Devices",
    "DistilledConfig",
    "DistilledPipeline",
    "Division",
    "ExtendConfig",
    "ExtendPipeline",
    "GenerationResult",
    "GuidanceChange",
    "ICLoraConfig",
    "ICLoraPipeline",
    "ImageCondition",
    "KeyframeInterpolationConfig",
    "KeyframeInterpolationPipeline",
    "LatentCache",
    "LatentToRGB",
    "LoraPathStrength",
    "MediaError",
    "Memory",
    "ModelSource",
    "ModelWarning",
    "OnStep",
    "OneStageConfig",
    "OneStagePipeline",
    "Pipeline",
    "PipelineDefaults",
    "PromptContext",
    "ReferenceVideo",
    "RetakeConfig",
    "RetakePipeline",
    "SavedStage",
    "StageEvent",
    "StagePlan",
    "StageStore",
    "TextToAudioConfig",
    "TextToAudioPipeline",
    "TextToVideoConfig",
    "TextToVideoPipeline",
    "TwoStageConfig",
    "TwoStageHQConfig",
    "TwoStageHQPipeline",
    "TwoStagePipeline",
    "VideoInput",
    "check_output",
    "create_audio_to_video_pipeline",
    "create_distilled_pipeline",
    "create_extend_pipeline",
    "create_ic_lora_pipeline",
    "create_keyframe_interpolation_pipeline",
    "create_one_stage_pipeline",
    "create_retake_pipeline",
    "create_text_to_audio_pipeline",
    "create_text_to_video_pipeline",
    "create_two_stage_hq_pipeline",
    "create_two_stage_pipeline",
    "double_frame_rate",
    "enhance_prompt",
    "latent_to_rgb",
    "read_audio",
    "read_settings",
    "require_distilled_lora",
    "settings_hash",
    "settings_of",
]
