"""Which of our pipelines stands for which official class, and with which arguments."""

import numpy as np
from ltx_pipelines import (
    DistilledConfig,
    DistilledPipeline,
    GenerationResult,
    LoraPathStrength,
    OneStageConfig,
    OneStagePipeline,
)
from ltx_pipelines.audio_to_video import AudioToVideoConfig, AudioToVideoPipeline
from ltx_pipelines.ic_lora import ICLoraConfig, ICLoraPipeline
from ltx_pipelines.keyframes import KeyframeInterpolationConfig, KeyframeInterpolationPipeline
from ltx_pipelines.media_input import VideoInput
from ltx_pipelines.references import ReferenceVideo
from ltx_pipelines.retake import RetakeConfig, RetakePipeline
from ltx_pipelines.text_to_audio import TextToAudioConfig, TextToAudioPipeline
from ltx_pipelines.two_stage import TwoStageConfig, TwoStagePipeline
from ltx_pipelines.two_stage_hq import TwoStageHQConfig, TwoStageHQPipeline

from tests.parity.e2e import Run, runs

SOURCE_RATE = 16000
"""Of the sounds of source clips."""


def distilled_lora(run: Run) -> LoraPathStrength:
    (lora,) = run.loras("distilled_lora")
    return lora


@runs("DistilledPipeline")
def distilled(run: Run) -> GenerationResult:
    return DistilledPipeline(run.models())(DistilledConfig(**run.clip()), noise=run.noise)


@runs("TI2VidOneStagePipeline")
def one_stage(run: Run) -> GenerationResult:
    config = OneStageConfig(**run.clip(), **run.guidance())
    return OneStagePipeline(run.models())(config, noise=run.noise)


@runs("TI2VidTwoStagesPipeline")
def two_stages(run: Run) -> GenerationResult:
    config = TwoStageConfig(**run.clip(), **run.guidance())
    return TwoStagePipeline(run.models(), distilled_lora(run))(config, noise=run.noise)


@runs("TI2VidTwoStagesHQPipeline")
def two_stages_hq(run: Run) -> GenerationResult:
    strengths = {
        name: value for name, value in run.init.items() if name.startswith("distilled_lora_strength")
    }
    config = TwoStageHQConfig(**run.clip(), **run.guidance())
    pipeline = TwoStageHQPipeline(run.models(), distilled_lora(run), **strengths)
    return pipeline(config, noise=run.noise)


@runs("KeyframeInterpolationPipeline")
def keyframes(run: Run) -> GenerationResult:
    config = KeyframeInterpolationConfig(**run.clip(), **run.guidance())
    return KeyframeInterpolationPipeline(run.models(), distilled_lora(run))(config, noise=run.noise)


@runs("ICLoraPipeline")
def ic_lora(run: Run) -> GenerationResult:
    references = tuple(
        ReferenceVideo(run.tensors[f"in.{name}.raw"], strength)
        for name, strength in run.call["video_conditioning"]
    )
    mask = run.tensors.get("in.conditioning_attention_mask")
    names = ("conditioning_attention_strength", "skip_stage_2")
    config = ICLoraConfig(
        **run.clip(),
        **{name: run.call[name] for name in names if name in run.call},
        video_conditioning=references,
        conditioning_attention_mask=None if mask is None else mask[0, 0],
    )
    return ICLoraPipeline(run.models(()), run.loras())(config, noise=run.noise)


@runs("A2VidPipelineTwoStage")
def audio_to_video(run: Run) -> GenerationResult:
    names = {"audio_start_time": "audio_start", "audio_max_duration": "audio_duration"}
    options = {ours: run.call[name] for name, ours in names.items() if run.call.get(name) is not None}
    # It is returned as it is, at its own rate.
    sound = run.audio("audio", run.about["audio_sampling_rate"])
    # The official class takes all of it where no duration is given, its command the clip's length.
    options.setdefault("audio_duration", sound.waveform.shape[1] / sound.sampling_rate)
    config = AudioToVideoConfig(**run.clip(), **run.guidance(), **options, audio=sound)
    return AudioToVideoPipeline(run.models(), distilled_lora(run))(config, noise=run.noise)


@runs("RetakePipeline")
def retake(run: Run) -> GenerationResult:
    names = ("start_time", "end_time", "regenerate_video", "regenerate_audio")
    has_sound = "in.source_audio.waveform" in run.tensors
    source = VideoInput(
        run.tensors["in.source_video.raw"],
        float(np.asarray(run.tensors["in.source_video.fps"])),
        run.audio("source_audio", SOURCE_RATE) if has_sound else None,
    )
    config = RetakeConfig(
        **run.clip(),
        **run.guidance(),
        **{name: run.call[name] for name in names if name in run.call},
        source=source,
        splice=False,
    )
    return RetakePipeline(run.models(), distilled=run.init["distilled"])(config, noise=run.noise)


@runs("T2AOneStagePipeline")
def text_to_audio(run: Run) -> GenerationResult:
    config = TextToAudioConfig(**run.clip(), **run.guidance())
    return TextToAudioPipeline(run.models())(config, noise=run.noise)
