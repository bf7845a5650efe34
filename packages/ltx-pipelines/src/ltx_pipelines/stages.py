"""The stages that pipelines are composed of; each asks for its network and lets it go when it is done."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from ltx_core import (
    STAGE_2_DISTILLED_SIGMA_VALUES,
    EulerDiffusionStep,
    GaussianNoiser,
    LatentState,
    SimpleDenoiser,
    StepEvent,
    VideoPixelShape,
    X0Model,
    create_noised_state,
    euler_denoising_loop,
)
from ltx_core.conditioning import ConditioningItem
from ltx_core.denoisers import Denoiser, Model
from ltx_core.noisers import NoiseFn, Noiser
from ltx_core.tools import LatentTools

from ltx_pipelines.config import ClipConfig
from ltx_pipelines.events import OnStep, StageEvent
from ltx_pipelines.loras import LoraPathStrength
from ltx_pipelines.prompt import PromptContext
from ltx_pipelines.saved import STREAMS, DrawnNoise, StageStore, kept
from ltx_pipelines.tripwires import check_signal

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource


@dataclass(frozen=True)
class StagePlan:
    """One stage of a run before it begins: its name in events, its units of work, and words for people."""

    name: str
    units: int
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Latents:
    """What a denoising stage makes: video (1, C, F, H, W) and audio (1, C, T, M); None for one left out."""

    video: mx.array | None
    audio: mx.array | None


@dataclass(frozen=True, eq=False)
class ModalitySpec:
    """How one stream of a stage begins.

    Attributes:
        items: conditioning, applied in order.
        initial: latent (1, C, ...) to start from; None: zeros.
        noise_scale: noise level that it is brought to, the first sigma of the schedule.
        frozen: it only guides the other stream and stays what it is; its noise_scale is 0 then.
    """

    items: Sequence[ConditioningItem] = ()
    initial: mx.array | None = None
    noise_scale: float = 1.0
    frozen: bool = False

    def state(self, tools: LatentTools, noiser: Noiser) -> LatentState:
        """The state before the first step."""
        return create_noised_state(
            tools,
            self.items,
            noiser,
            noise_scale=self.noise_scale,
            initial_latent=self.initial,
            frozen=self.frozen,
        )


FROM_NOISE = ModalitySpec()
"""A stream that is made from nothing but noise."""

Loop = Callable[[mx.array, LatentState | None, LatentState | None, Denoiser, int], Iterator[StepEvent]]
"""A sampling method: (sigmas, video, audio, denoiser, steps made before) to the events of its steps."""


def euler(
    sigmas: mx.array, video: LatentState | None, audio: LatentState | None, denoiser: Denoiser, start: int
) -> Iterator[StepEvent]:
    """The method of most pipelines."""
    return euler_denoising_loop(sigmas, video, audio, EulerDiffusionStep(), denoiser, start=start)


def denoise(
    models: "ModelSource",
    *,
    stage: str,
    shape: VideoPixelShape,
    sigmas: mx.array,
    make_denoiser: Callable[[Model], Denoiser],
    noise: NoiseFn,
    on_step: OnStep,
    video: ModalitySpec | None = FROM_NOISE,
    audio: ModalitySpec | None = FROM_NOISE,
    loras: Sequence[LoraPathStrength] = (),
    loop: Loop = euler,
    number: int = 1,
    store: StageStore | None = None,
) -> Latents:
    """One denoising stage.

    Args:
        stage: its name in events.
        shape: of the clip at this stage's size.
        sigmas: the schedule, to its end.
        make_denoiser: from the network (predicting x0) to what the loop calls.
        noise: drawn for video, then for audio.
        video, audio: how the streams begin; None leaves one out altogether.
        loras: of this stage alone, after those of the models.
        loop: the sampling method.
        number: 2 for the second of two stages, where the models' LoRAs may have other strengths.
        store: keeps the state after every step, and the result; what it has of an earlier run is not made
            again.

    Raises:
        BrokenSignalError: a step gave NaN or infinity, or all steps the same number everywhere.
    """
    steps = sigmas.size - 1
    on_step(StageEvent(stage, 0, steps))
    saved = None if store is None else store.load(stage)
    if saved is not None and saved.finished:
        saved.draw_again(noise)
        on_step(StageEvent(stage, steps, steps))
        return Latents(saved.arrays.get("video"), saved.arrays.get("audio"))
    drawn = DrawnNoise(noise)
    noiser = GaussianNoiser(drawn)
    tools: tuple[Any, Any] = models.layout.video_tools(shape), models.layout.audio_tools(shape)
    states: list[LatentState | None] = [
        None if spec is None else spec.state(own, noiser)
        for spec, own in zip((video, audio), tools, strict=True)
    ]

    def own_latent(stream: int, tokens: mx.array) -> mx.array:
        """The stream's own tokens, without appended ones, as a latent."""
        own = tools[stream]
        latent: mx.array = own.patchifier.unpatchify(tokens[:, : own.num_tokens], own.target_shape)
        return latent

    # The loop must not start with the whole set-up still in its command buffer.
    mx.eval([(state.latent, state.clean_latent) for state in states if state is not None])
    streams = {"video": video is not None, "audio": audio is not None}
    with models.transformer(**streams, loras=loras, stage=number) as transformer:
        denoiser = make_denoiser(X0Model(partial(transformer, cache=transformer.make_cache())))
        start = 0
        if saved is not None:
            states, start = saved.states(states, denoiser), saved.step
        for event in loop(sigmas, states[0], states[1], denoiser, start):
            states = [event.video, event.audio]
            last = event.step + 1 == event.num_steps
            latents = {
                name: own_latent(index, state.latent)
                for index, (name, state) in enumerate(zip(STREAMS, states, strict=True))
                if state is not None
            }
            for name, latent in latents.items():
                check_signal(stage, f"{name} latent", latent, may_be_constant=not last)
            if store is not None:
                store.save(stage, drawn.result(latents) if last else drawn.so_far(event, denoiser))
            preview = None if event.video_x0 is None else own_latent(0, event.video_x0)
            on_step(StageEvent(stage, min(event.step + 1, steps), steps, event.sigma_next, preview))
    return Latents(latents.get("video"), latents.get("audio"))


def upsample(
    models: "ModelSource", latent: mx.array, on_step: OnStep, store: StageStore | None = None
) -> mx.array:
    """A video latent at twice its height and width."""
    from ltx_models.upsampler import upsample_video

    def make() -> dict[str, mx.array]:
        with models.spatial_upsampler() as (upsampler, statistics):
            video = upsample_video(latent, upsampler, statistics)
            mx.eval(video)
        return {"video": video}

    on_step(StageEvent("upsample", 0, 1))
    video = kept(store, "upsample", make)["video"]
    on_step(StageEvent("upsample", 1, 1))
    return video


def unguided(context: PromptContext) -> Callable[[Model], Denoiser]:
    """What `denoise` makes its denoiser with where there is no guidance."""
    return lambda model: SimpleDenoiser(model, context.video, context.audio)


def refine(
    models: "ModelSource",
    latents: Latents,
    *,
    shape: VideoPixelShape,
    context: PromptContext,
    items: Sequence[ConditioningItem],
    noise: NoiseFn,
    on_step: OnStep,
    loras: Sequence[LoraPathStrength] = (),
    audio: ModalitySpec | None = None,
    loop: Loop = euler,
    store: StageStore | None = None,
) -> Latents:
    """Upsampling, then the second stage: the distilled schedule's last steps at full size, without guidance.

    Args:
        latents: those of the first stage.
        items: conditioning of the video at this size.
        loras: of this stage; the distilled one, where the model is not distilled itself.
        audio: how the sound begins; None: as `latents.audio`, noised like the video.
    """
    assert latents.video is not None
    sigmas = mx.array(STAGE_2_DISTILLED_SIGMA_VALUES, mx.float32)
    level = STAGE_2_DISTILLED_SIGMA_VALUES[0]
    upsampled = upsample(models, latents.video, on_step, store)
    if audio is None and latents.audio is not None:
        audio = ModalitySpec(initial=latents.audio, noise_scale=level)
    return denoise(
        models,
        stage="stage 2",
        shape=shape,
        sigmas=sigmas,
        make_denoiser=unguided(context),
        noise=noise,
        on_step=on_step,
        video=ModalitySpec(items, upsampled, level),
        audio=audio,
        loras=loras,
        loop=loop,
        number=2,
        store=store,
    )


def refinement_plan(config: ClipConfig, models: "ModelSource") -> list[StagePlan]:
    """Upsampling and `refine`."""
    steps = len(STAGE_2_DISTILLED_SIGMA_VALUES) - 1
    return [StagePlan("upsample", 1), StagePlan("stage 2", steps, describe_stage(config, models, steps))]


def describe_stage(config: ClipConfig, models: "ModelSource", steps: int, divisor: int = 1) -> str:
    """Steps, size and tokens of a stage, for people."""
    size = f"{config.width // divisor}x{config.height // divisor}"
    return f"{steps} steps at {size}, {tokens_of(config, models, divisor)} tokens"


def pixel_shape(config: ClipConfig, divisor: int = 1) -> VideoPixelShape:
    """The clip at a stage's size, `divisor` times smaller along each side."""
    size = config.height // divisor, config.width // divisor
    return VideoPixelShape(1, config.num_frames, *size, config.frame_rate)


def tokens_of(config: ClipConfig, models: "ModelSource", divisor: int = 1) -> int:
    """Video tokens of a clip, or of one `divisor` times smaller along each side."""
    return math.prod(models.layout.video_tools(pixel_shape(config, divisor)).target_shape[2:])
