"""What the guided pipelines share: schedule, passes, and the denoiser."""

from collections.abc import Callable
from dataclasses import replace

import mlx.core as mx
from ltx_core import GuidedDenoiser, LTX2Scheduler
from ltx_core.denoisers import Denoiser, Model
from ltx_core.multimodal_guider import create_multimodal_guider_factory

from ltx_pipelines.config import ClipConfig, Guidance, GuidedConfig, map_guidance
from ltx_pipelines.models import ModelSource
from ltx_pipelines.prompt import PromptContext
from ltx_pipelines.stages import StagePlan, describe_stage, tokens_of

# Guidance passes are stacked into one call of the network while they are small: below this many video tokens
# a call is bound by reading the weights, which all passes then share; above it, stacking only costs memory.
STACK_BELOW_TOKENS = 1024
MAX_PASSES = 4


def guided_steps(steps: int | None, models: ModelSource) -> int:
    """The denoising steps asked for, or the model's own."""
    return steps or models.defaults.num_inference_steps


def guided_sigmas(config: GuidedConfig, models: ModelSource) -> mx.array:
    """The schedule of a guided stage."""
    return mx.array(LTX2Scheduler().execute(steps=guided_steps(config.num_inference_steps, models)))


def guided_plan(config: GuidedConfig, models: ModelSource, stage: str, divisor: int = 1) -> list[StagePlan]:
    """Encoding the prompts, and one guided stage."""
    steps = guided_steps(config.num_inference_steps, models)
    detail = f"{describe_stage(config, models, steps, divisor)}, up to 4 passes each"
    return [StagePlan("encode prompt", 2), StagePlan(stage, steps, detail)]


def guided(
    config: ClipConfig,
    models: ModelSource,
    positive: PromptContext,
    negative: PromptContext,
    video: Guidance,
    audio: Guidance,
    divisor: int = 1,
) -> Callable[[Model], Denoiser]:
    """What `denoise` makes its denoiser with.

    Args:
        positive, negative: contexts of the prompts.
        video, audio: guidance of the streams.
        divisor: of the stage's sides against the clip's.
    """
    if not config.generate_audio:
        # There is no other stream to guide away from.
        video = map_guidance(video, lambda params: replace(params, modality_scale=1.0))

    def make_denoiser(model: Model) -> Denoiser:
        return GuidedDenoiser(
            model,
            positive.video,
            positive.audio,
            create_multimodal_guider_factory(video, negative.video),
            create_multimodal_guider_factory(audio, negative.audio),
            max_batch_size=MAX_PASSES if tokens_of(config, models, divisor) < STACK_BELOW_TOKENS else 1,
        )

    return make_denoiser
