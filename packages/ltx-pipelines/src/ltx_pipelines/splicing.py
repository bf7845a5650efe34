"""A part made anew in the place of a source's: all else is the source's own, not what autoencoders give."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
from ltx_core import Audio
from ltx_core.conditioning import TemporalRegionMask
from ltx_core.tools import LatentTools, VideoLatentTools

from ltx_pipelines.decoding import LatentVideo

# Over these seconds at both its ends the made sound takes the place of the source's.
FADE_SECONDS = 0.01


def made_span(region: TemporalRegionMask, tools: LatentTools) -> tuple[float, float]:
    """From the beginning of the first latent frame that a range touches to the end of the last, in seconds;
    (0, 0) if it touches none."""
    touched = region.touched(tools)[0]
    seconds = region.seconds(tools)[0][touched]
    return (float(seconds[:, 0].min()), float(seconds[:, 1].max())) if touched.any() else (0.0, 0.0)


def splice_frames(
    pixels: mx.array,
    made: np.ndarray | LatentVideo,
    region: TemporalRegionMask | None,
    tools: VideoLatentTools,
) -> np.ndarray | LatentVideo:
    """The source's frames with made ones in a range.

    Args:
        pixels: the source as the video encoder takes it, (1, 3, F, H, W) in [-1, 1].
        made: all frames, where there are any to decode.
        region: which are new; None: none of them.

    Returns:
        What `GenerationResult.video` holds.
    """
    source = np.rint((np.array(pixels[0].transpose(1, 2, 3, 0)) + 1) * 127.5).astype(np.uint8)
    if region is None or not isinstance(made, LatentVideo):
        return source
    start, end = (round(seconds * region.fps) for seconds in made_span(region, tools))
    return replace(made, source=source, fresh=range(start, end))


def splice_sound(source: Audio, made: Audio, region: TemporalRegionMask, tools: LatentTools) -> Audio:
    """The source's sound with the made one in a range, faded over at its ends, inside of it.

    Returns:
        As long as the made sound, at the source's rate; silence where the source has ended before.
    """
    from ltx_models.audio_vae import resample

    rate = source.sampling_rate
    samples = np.array(resample(made.waveform, made.sampling_rate, rate), np.float32)
    kept = np.zeros_like(samples)
    given = np.array(source.waveform[:, : samples.shape[1]], np.float32)
    kept[:, : given.shape[1]] = given
    when = np.arange(samples.shape[1]) / rate
    start, end = made_span(region, tools)
    # An end of the range that is an end of the sound has nothing to fade to.
    rising = (when - start) / FADE_SECONDS if start > 0 else np.ones_like(when)
    falling = (end - when) / FADE_SECONDS if end < when[-1] else np.ones_like(when)
    weight = np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32)
    return Audio(mx.array(kept + weight * (samples - kept)), rate)
