"""The stages that pipelines are composed of; each asks for its network and lets it go when it is done."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
from ltx_core import (
    Audio,
    EulerDiffusionStep,
    GaussianNoiser,
    LatentState,
    VideoLatentShape,
    VideoPixelShape,
    X0Model,
    create_noised_state,
    euler_denoising_loop,
)
from ltx_core.conditioning import (
    ConditioningItem,
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
)
from ltx_core.denoisers import Denoiser, Model
from ltx_core.noisers import NoiseFn

from ltx_pipelines.config import ClipConfig
from ltx_pipelines.events import OnStep, StageEvent
from ltx_pipelines.images import image_tensor
from ltx_pipelines.tripwires import check_signal

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource


@dataclass(frozen=True)
class StagePlan:
    """One stage of a run before it begins: its name in events, its units of work, and words for people."""

    name: str
    units: int
    detail: str = ""


@dataclass(frozen=True)
class PreparedImage:
    """A conditioning image, read and re-compressed: pixels (H, W, 3) for a pixel frame counted from 0."""

    pixels: np.ndarray
    frame: int
    strength: float


def prepare_images(config: ClipConfig, default_crf: int) -> list[PreparedImage]:
    """Read every image of a config, and re-compress it."""
    return [
        PreparedImage(image.pixels(default_crf), image.resolve_frame(config.num_frames), image.strength)
        for image in config.images
    ]


def encode_images(
    models: "ModelSource", images: Sequence[PreparedImage], height: int, width: int
) -> list[ConditioningItem]:
    """Conditioning items of a stage at its own size: an image at frame 0 replaces the first latent frame,
    one at any other frame is appended as a keyframe."""
    if not images:
        return []
    items: list[ConditioningItem] = []
    with models.video_encoder() as encode:
        for image in images:
            latent = encode(image_tensor(image.pixels, height, width))
            mx.eval(latent)
            if image.frame == 0:
                items.append(VideoConditionByLatentIndex(latent, image.strength, latent_idx=0))
            else:
                items.append(VideoConditionByKeyframeIndex(latent, image.frame, image.strength))
    return items


@dataclass(frozen=True, eq=False)
class Latents:
    """What a denoising stage makes: video (1, C, F, H, W) and audio (1, C, T, M), or None without audio."""

    video: mx.array
    audio: mx.array | None


def denoise(
    models: "ModelSource",
    *,
    stage: str,
    shape: VideoPixelShape,
    sigmas: mx.array,
    make_denoiser: Callable[[Model], Denoiser],
    noise: NoiseFn,
    on_step: OnStep,
    items: Sequence[ConditioningItem] = (),
    initial: Latents | None = None,
    with_audio: bool = True,
) -> Latents:
    """One denoising stage with Euler steps: noise, or an initial latent brought back to the first sigma.

    Args:
        stage: its name in events.
        shape: of the clip at this stage's size.
        sigmas: the schedule, to its end.
        make_denoiser: from the network (predicting x0) to what the loop calls.
        noise: drawn for video, then for audio.
        items: conditioning of the video.
        initial: latents to start from.
        with_audio: False leaves the sound out altogether.
    """
    steps = sigmas.size - 1
    on_step(StageEvent(stage, 0, steps))
    noiser = GaussianNoiser(noise)
    scale = 1.0 if initial is None else float(sigmas[0])
    video_tools = models.layout.video_tools(shape)
    video: LatentState | None = create_noised_state(
        video_tools,
        items,
        noiser,
        noise_scale=scale,
        initial_latent=None if initial is None else initial.video,
    )
    audio: LatentState | None = None
    audio_tools = models.layout.audio_tools(shape)
    if with_audio:
        sound = None if initial is None else initial.audio
        audio = create_noised_state(audio_tools, (), noiser, noise_scale=scale, initial_latent=sound)

    def video_latent(tokens: mx.array) -> mx.array:
        """The clip's own tokens, without appended ones, as a latent."""
        own = tokens[:, : video_tools.num_tokens]
        return video_tools.patchifier.unpatchify(own, video_tools.target_shape)

    # The loop must not start with the whole set-up still in its command buffer.
    mx.eval([state.latent for state in (video, audio) if state is not None])
    with models.transformer(audio=with_audio) as transformer:
        model = X0Model(partial(transformer, cache=transformer.make_cache()))
        denoiser = make_denoiser(model)
        for event in euler_denoising_loop(sigmas, video, audio, EulerDiffusionStep(), denoiser):
            video, audio = event.video, event.audio
            preview = None if event.video_x0 is None else video_latent(event.video_x0)
            on_step(StageEvent(stage, event.step + 1, steps, event.sigma_next, preview))
    assert video is not None
    result = Latents(
        video_latent(video.latent),
        None if audio is None else audio_tools.patchifier.unpatchify(audio.latent, audio_tools.target_shape),
    )
    check_signal(stage, "video latent", result.video)
    if result.audio is not None:
        check_signal(stage, "audio latent", result.audio)
    return result


def upsample(models: "ModelSource", latents: Latents, on_step: OnStep) -> Latents:
    """The video latent at twice its height and width."""
    from ltx_models.upsampler import upsample_video

    on_step(StageEvent("upsample", 0, 1))
    with models.spatial_upsampler() as (upsampler, statistics):
        video = upsample_video(latents.video, upsampler, statistics)
        mx.eval(video)
    on_step(StageEvent("upsample", 1, 1))
    return Latents(video, latents.audio)


def decode_frames(models: "ModelSource", latent: mx.array, on_step: OnStep) -> np.ndarray:
    """Pixels of a video latent (1, C, F, H, W): uint8 (F, H, W, 3), decoded in tiles where it is large."""
    from ltx_models.video_vae import TileSizeConfig, to_uint8

    factors = models.layout.scale_factors
    shape = VideoLatentShape.from_shape(latent.shape).upscale(factors)
    tiling = TileSizeConfig.auto(height=shape.height, width=shape.width, scale_factors=factors)
    on_step(StageEvent("decode video", 0, shape.frames))
    frames: list[np.ndarray] = []
    done = 0
    with models.video_decoder() as decoder:
        for chunk in decoder.decode_video(latent, tiling):
            if not frames:
                check_signal("decode video", "first frames", chunk, may_be_constant=True)
            frames.append(np.array(to_uint8(chunk)))
            done += len(chunk)
            on_step(StageEvent("decode video", done, shape.frames))
    return np.concatenate(frames)


def decode_sound(models: "ModelSource", latent: mx.array | None, on_step: OnStep) -> Audio | None:
    """The sound of an audio latent (1, C, T, M)."""
    from ltx_models.audio_vae import decode_audio

    if latent is None:
        return None
    on_step(StageEvent("decode audio", 0, 1))
    with models.audio_decoder() as (decoder, vocoder):
        audio = decode_audio(latent, decoder, vocoder)
        check_signal("decode audio", "waveform", audio.waveform, may_be_constant=True)
    on_step(StageEvent("decode audio", 1, 1))
    return audio


def decoding_plan(config: ClipConfig) -> list[StagePlan]:
    """The last stages of every pipeline."""
    sound = [StagePlan("decode audio", 1)] if config.generate_audio else []
    return [StagePlan("decode video", config.num_frames), *sound]


def tokens_of(config: ClipConfig, models: "ModelSource", divisor: int = 1) -> int:
    """Video tokens of a clip, or of one `divisor` times smaller along each side."""
    shape = VideoPixelShape(
        1, config.num_frames, config.height // divisor, config.width // divisor, config.frame_rate
    )
    return math.prod(models.layout.video_tools(shape).target_shape[2:])
