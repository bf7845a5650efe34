"""What the guided one-stage pipelines share: schedule, passes, and one denoising stage at full size."""

from dataclasses import replace

import mlx.core as mx
from ltx_core import (
    GuidedDenoiser,
    LTX2Scheduler,
    MultiModalGuider,
    MultiModalGuiderParams,
    VideoPixelShape,
)
from ltx_core.denoisers import Denoiser, Model
from ltx_core.noisers import NoiseFn

from ltx_pipelines.config import ClipConfig
from ltx_pipelines.events import OnStep
from ltx_pipelines.models import ModelSource
from ltx_pipelines.prompt import encode_prompts
from ltx_pipelines.stages import (
    Latents,
    StagePlan,
    decoding_plan,
    denoise,
    encode_images,
    prepare_images,
    tokens_of,
)

# Guidance passes are stacked into one call of the network while they are small: below this many video tokens
# a call is bound by reading the weights, which all passes then share; above it, stacking only costs memory.
STACK_BELOW_TOKENS = 1024
MAX_PASSES = 4


def guided_steps(steps: int | None, models: ModelSource) -> int:
    """The denoising steps asked for, or the model's own."""
    return steps or models.defaults.num_inference_steps


def guided_plan(config: ClipConfig, models: ModelSource, steps: int, passes: str) -> list[StagePlan]:
    """The stages of a guided one-stage pipeline."""
    size = f"{config.width}x{config.height}, {tokens_of(config, models)} tokens"
    return [
        StagePlan("encode prompt", 2),
        StagePlan("denoise", steps, f"{steps} steps at {size}, {passes}"),
        *decoding_plan(config),
    ]


def guided_latents(
    config: ClipConfig,
    models: ModelSource,
    *,
    negative_prompt: str,
    steps: int,
    video: MultiModalGuiderParams,
    audio: MultiModalGuiderParams,
    noise: NoiseFn,
    on_step: OnStep,
) -> Latents:
    """Encode the prompts and the images, then denoise under guidance."""
    images = prepare_images(config, models.defaults.image_crf)
    positive, negative = encode_prompts(models, [config.prompt, negative_prompt], on_step)
    if not config.generate_audio:
        # There is no other stream to guide away from.
        video = replace(video, modality_scale=1.0)

    def make_denoiser(model: Model) -> Denoiser:
        return GuidedDenoiser(
            model,
            positive.video,
            positive.audio,
            MultiModalGuider(video, negative.video),
            MultiModalGuider(audio, negative.audio),
            max_batch_size=MAX_PASSES if tokens_of(config, models) < STACK_BELOW_TOKENS else 1,
        )

    return denoise(
        models,
        stage="denoise",
        shape=VideoPixelShape(1, config.num_frames, config.height, config.width, config.frame_rate),
        sigmas=mx.array(LTX2Scheduler().execute(steps=steps)),
        make_denoiser=make_denoiser,
        noise=noise,
        on_step=on_step,
        items=encode_images(models, images, config.height, config.width),
        with_audio=config.generate_audio,
    )
