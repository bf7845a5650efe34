"""Every pipeline on the small checkpoint, in a clip of two latent frames."""

from collections.abc import Callable
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
from ltx_core import Audio
from ltx_pipelines import (
    AudioToVideoConfig,
    AudioToVideoPipeline,
    CheckpointModels,
    DistilledConfig,
    DistilledPipeline,
    ExtendConfig,
    ExtendPipeline,
    GenerationResult,
    GuidanceChange,
    ICLoraConfig,
    ICLoraPipeline,
    ImageCondition,
    KeyframeInterpolationConfig,
    KeyframeInterpolationPipeline,
    LoraPathStrength,
    OneStageConfig,
    OneStagePipeline,
    Pipeline,
    ReferenceVideo,
    RetakeConfig,
    RetakePipeline,
    TextToAudioConfig,
    TextToAudioPipeline,
    TwoStageConfig,
    TwoStageHQConfig,
    TwoStageHQPipeline,
    TwoStagePipeline,
    VideoInput,
)

from tests.e2e.conftest import FIXTURES

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (17, 64, 64, 3), np.uint8)
SOUND = Audio(mx.array(RNG.normal(0, 0.2, (2, 16000)).astype(np.float32)), 16000)
LORA = LoraPathStrength(FIXTURES / "distilled_lora.safetensors")
IC_LORA = LoraPathStrength(FIXTURES / "ic_lora.safetensors")
START = ImageCondition(PIXELS[0], 0, crf=0)
END = ImageCondition(PIXELS[-1], -1, 0.7, crf=0)
# Of three steps, the network is called in two.
SKIPPING = GuidanceChange(skip_step=1)
SHORT: dict[str, Any] = {
    "prompt": "a fox",
    "height": 64,
    "width": 64,
    "num_frames": 9,
    "num_inference_steps": 3,
}
SOURCE: dict[str, Any] = {"prompt": "a fox", "source": VideoInput(PIXELS, 25.0, SOUND)}

Run = Callable[[CheckpointModels], tuple[Pipeline[Any], Any]]

RUNS: dict[str, Run] = {
    "distilled": lambda models: (DistilledPipeline(models), DistilledConfig(**SHORT, images=(START, END))),
    "one-stage": lambda models: (
        OneStagePipeline(models),
        OneStageConfig(**SHORT, video_guidance=SKIPPING, audio_guidance=SKIPPING),
    ),
    "two-stage": lambda models: (TwoStagePipeline(models, LORA), TwoStageConfig(**SHORT)),
    "two-stage-hq": lambda models: (
        TwoStageHQPipeline(models, LORA),
        TwoStageHQConfig(**{**SHORT, "num_inference_steps": 2}),
    ),
    "keyframes": lambda models: (
        KeyframeInterpolationPipeline(models, LORA),
        KeyframeInterpolationConfig(**SHORT, images=(START, END), generate_audio=False),
    ),
    "ic-lora": lambda models: (
        ICLoraPipeline(models, [IC_LORA]),
        ICLoraConfig(**{**SHORT, "height": 128, "width": 128}, video_conditioning=(ReferenceVideo(PIXELS),)),
    ),
    "audio-to-video": lambda models: (
        AudioToVideoPipeline(models, LORA),
        AudioToVideoConfig(**SHORT, audio=SOUND),
    ),
    "retake": lambda models: (
        RetakePipeline(models),
        RetakeConfig(**SOURCE, start_time=0.1, end_time=0.4, num_inference_steps=2),
    ),
    "extend": lambda models: (
        ExtendPipeline(models, distilled=False),
        ExtendConfig(**SOURCE, new_frames=8, num_inference_steps=2),
    ),
    "text-to-audio": lambda models: (
        TextToAudioPipeline(models),
        TextToAudioConfig(prompt="a drum", num_frames=9, num_inference_steps=3),
    ),
}


def content(result: GenerationResult) -> list[bytes]:
    """All that a result is made of, in bytes."""
    waveform = b"" if result.audio is None else np.array(result.audio.waveform).tobytes()
    latents = (result.video_latent, result.audio_latent)
    return [
        np.ascontiguousarray(result.frames).tobytes(),
        waveform,
        *(b"" if latent is None else np.array(latent).tobytes() for latent in latents),
    ]
