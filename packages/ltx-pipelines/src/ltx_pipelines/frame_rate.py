"""Twice the frame rate: a finished clip's latents upscaled in time, and decoded anew.

The official package has this network for LTX-2.0 and 2.3, but no pipeline that calls it.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx
from ltx_core import Audio, ConfigError
from ltx_loaders import load_upsampler

from ltx_pipelines.decoding import LatentVideo
from ltx_pipelines.events import OnStep, StageEvent, ignore
from ltx_pipelines.metadata import file_record
from ltx_pipelines.models import ModelSource
from ltx_pipelines.result import GenerationResult
from ltx_pipelines.stages import StagePlan

if TYPE_CHECKING:
    from ltx_models.upsampler import LatentUpsampler

STAGE = "upsample time"
DECODE_STAGE = "decode anew"


def double_frame_rate(
    models: ModelSource,
    result: GenerationResult,
    temporal_upsampler: str | Path,
    *,
    on_step: OnStep = ignore,
) -> GenerationResult:
    """A clip with a new frame between every two.

    F frames become 2 F - 1, which last half a frame less than before; the sound is cut to that length.

    Args:
        models: those that the clip was made with.
        temporal_upsampler: file of the x2 latent upscaler in time.

    Raises:
        ConfigError: the file is for something else, or the result is not one clip of latents: a sound alone,
            or an extended clip, most of which is its source.
        LoaderError: the file is missing or damaged.
    """
    from ltx_models.upsampler import upsample_video

    factors = models.layout.scale_factors
    latent = result.video_latent
    if latent is None or (latent.shape[2] - 1) * factors.time + 1 != result.num_frames:
        raise ConfigError(
            "the frame rate cannot be doubled: this result is a sound alone, or has frames that are not in "
            "its latents, as extended clips have"
        )
    on_step(StageEvent(STAGE, 0, 1))
    upsampler = _open(models, temporal_upsampler)
    with models.video_decoder() as decoder:
        doubled = upsample_video(latent, upsampler, decoder.per_channel_statistics)
        mx.eval(doubled)
    del upsampler
    on_step(StageEvent(STAGE, 1, 1))
    video = LatentVideo(models, doubled, on_step, DECODE_STAGE)
    rate = 2 * result.frame_rate
    audio = result.audio
    if audio is not None:
        samples = round(len(video) / rate * audio.sampling_rate)
        audio = Audio(audio.waveform[:, :samples], audio.sampling_rate)
    file = file_record("temporal upscaler", Path(temporal_upsampler))
    settings = {**result.settings, "temporal_upsampler": str(temporal_upsampler)}
    settings["files"] = [*settings.get("files", []), file]
    return replace(result, video=video, audio=audio, video_latent=doubled, frame_rate=rate, settings=settings)


def doubling_plan(models: ModelSource, temporal_upsampler: str | Path, num_frames: int) -> list[StagePlan]:
    """`double_frame_rate` of so many frames; errors of the file as there."""
    _open(models, temporal_upsampler)
    return [StagePlan(STAGE, 1), StagePlan(DECODE_STAGE, 2 * num_frames - 1)]


def _open(models: ModelSource, path: str | Path) -> "LatentUpsampler":
    """The upscaler, of whose weights nothing is read yet."""
    upsampler = load_upsampler(path, models.dtype)
    if not upsampler.config.temporal_upsample or upsampler.config.spatial_upsample:
        raise ConfigError(f"{path} does not upscale time alone; use ltx-2-temporal-upscaler-x2")
    return upsampler
