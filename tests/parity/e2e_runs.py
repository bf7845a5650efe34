"""Which of our pipelines stands for which official class, and with which arguments."""

from ltx_pipelines import (
    DistilledConfig,
    DistilledPipeline,
    GenerationResult,
    ICLoraConfig,
    ICLoraPipeline,
    OneStageConfig,
    OneStagePipeline,
    ReferenceVideo,
)

from tests.parity.e2e import Run, runs


@runs("DistilledPipeline")
def distilled(run: Run) -> GenerationResult:
    return DistilledPipeline(run.models())(DistilledConfig(**run.clip()), noise=run.noise)


@runs("TI2VidOneStagePipeline")
def one_stage(run: Run) -> GenerationResult:
    config = OneStageConfig(**run.clip(), **run.guidance())
    return OneStagePipeline(run.models())(config, noise=run.noise)


@runs("ICLoraPipeline")
def ic_lora(run: Run) -> GenerationResult:
    videos = sorted(name for name in run.tensors if name.startswith("in.reference_video"))
    strengths = [strength for _, strength in run.call["video_conditioning"]]
    mask = run.tensors.get("in.conditioning_attention_mask")
    config = ICLoraConfig(
        **run.clip(),
        video_conditioning=tuple(
            ReferenceVideo(run.tensors[name], strength)
            for name, strength in zip(videos, strengths, strict=True)
        ),
        conditioning_attention_strength=run.call.get("conditioning_attention_strength", 1.0),
        conditioning_attention_mask=None if mask is None else mask[0, 0],
        skip_stage_2=run.call.get("skip_stage_2", False),
    )
    return ICLoraPipeline(run.models(()), run.loras())(config, noise=run.noise)
