"""What the guided pipelines share: schedule, passes, and the denoiser."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import mlx.core as mx
from ltx_core import ConfigError, GuidedDenoiser, LTX2Scheduler, NoiseFn
from ltx_core.conditioning import ConditioningItem
from ltx_core.denoisers import Denoiser, Model
from ltx_core.multimodal_guider import create_multimodal_guider_factory

from ltx_pipelines.config import ClipConfig, Guidance, GuidanceChange, GuidedConfig, map_guidance
from ltx_pipelines.distillation import warn_of_guidance
from ltx_pipelines.events import OnStep
from ltx_pipelines.loras import LoraPathStrength, require_distilled_lora
from ltx_pipelines.models import ModelSource
from ltx_pipelines.prompt import PromptContext, encode_prompts
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import (
    FROM_NOISE,
    Latents,
    Loop,
    ModalitySpec,
    StagePlan,
    denoise,
    describe_stage,
    euler,
    pixel_shape,
    tokens_of,
)

# Guidance passes are stacked into one call of the network while they are small: below this many video tokens
# a call is bound by reading the weights, which all passes then share; above it, stacking only costs memory.
STACK_BELOW_TOKENS = 1024
MAX_PASSES = 4


def guided_sigmas(config: GuidedConfig, models: ModelSource) -> mx.array:
    """The schedule of a guided stage."""
    return mx.array(LTX2Scheduler().execute(steps=config.steps(models.defaults)))


def check_guidance(config: GuidedConfig, models: ModelSource) -> None:
    """Find guidance that does not suit the model, before any network is loaded; warns if that is distilled.

    Raises:
        ConfigError: the model has no such transformer block.
    """
    for name in ("video_guidance", "audio_guidance"):
        asked = getattr(config, name)
        blocks = (asked.stg_blocks or ()) if isinstance(asked, GuidanceChange) else ()
        if beyond := [block for block in blocks if block >= models.num_blocks]:
            raise ConfigError(
                f"stg_blocks of {name}: the model has no transformer block {beyond[0]}, its blocks are 0 to "
                f"{models.num_blocks - 1}; by default it is {models.defaults.video.stg_blocks}"
            )
    warn_of_guidance(models, *config.guidance(models.defaults))


def encode_guided(
    models: ModelSource, config: GuidedConfig, on_step: OnStep, store: StageStore | None = None
) -> list[PromptContext]:
    """The contexts of the prompt and of the negative prompt; errors as `check_guidance`."""
    check_guidance(config, models)
    return encode_prompts(models, [config.prompt, config.negative_prompt], on_step, store)


def guided_stage(
    config: GuidedConfig,
    models: ModelSource,
    prompts: Sequence[PromptContext],
    items: Sequence[ConditioningItem],
    noise: NoiseFn,
    on_step: OnStep,
    *,
    audio: ModalitySpec | None = None,
    loras: Sequence[LoraPathStrength] = (),
    sigmas: mx.array | None = None,
    loop: Loop = euler,
    store: StageStore | None = None,
) -> Latents:
    """The first of two stages: guided, at half size.

    Args:
        prompts: the prompt and the negative prompt.
        items: conditioning of the video at this size.
        audio: how the sound begins; None: as noise, if the clip is to have sound.
        loras: of this stage alone.
        sigmas: the schedule; None: `guided_sigmas`.
        loop: the sampling method.
    """
    positive, negative = prompts
    return denoise(
        models,
        stage="stage 1",
        shape=pixel_shape(config, 2),
        sigmas=guided_sigmas(config, models) if sigmas is None else sigmas,
        make_denoiser=guided(
            config, models, positive, negative, *config.guidance(models.defaults), divisor=2
        ),
        noise=noise,
        on_step=on_step,
        video=ModalitySpec(items),
        audio=audio or (FROM_NOISE if config.generate_audio else None),
        loras=loras,
        loop=loop,
        store=store,
    )


def guided_plan(
    config: GuidedConfig, models: ModelSource, stage: str, divisor: int = 1, passes: int = MAX_PASSES
) -> list[StagePlan]:
    """Encoding the prompts, and one guided stage, with that many passes per step if guidance is complete;
    errors as `check_guidance`."""
    check_guidance(config, models)
    steps = config.steps(models.defaults)
    detail = f"{describe_stage(config, models, steps, divisor)}, up to {passes} passes each"
    return [StagePlan("encode prompt", 2), StagePlan(stage, steps, detail)]


def refining_lora(models: ModelSource, distilled_lora: LoraPathStrength | None) -> list[LoraPathStrength]:
    """The LoRAs of `refine` on an undistilled model: the distilled one.

    Raises:
        ConfigError: the models have no spatial upscaler, or there is no distilled LoRA.
        LoaderError: the LoRA is for another network.
    """
    models.require_spatial_upsampler()
    loras = [require_distilled_lora(distilled_lora)]
    models.check_loras(loras)
    return loras


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
            group=models.pass_group,
        )

    return make_denoiser
