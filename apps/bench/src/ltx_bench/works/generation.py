"""A whole generation by the distilled pipeline's stages, from a prompt's tokens to a file."""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import imageio_ffmpeg
import mlx.core as mx
import numpy as np
from ltx_core import RandomNoise
from ltx_pipelines.decoding import decode_frames, decode_sound
from ltx_pipelines.defaults import defaults_for
from ltx_pipelines.distilled import DistilledConfig
from ltx_pipelines.events import StageEvent
from ltx_pipelines.few_steps import first_stage
from ltx_pipelines.layout import layout_of
from ltx_pipelines.media import write_mp4
from ltx_pipelines.models import ModelSource
from ltx_pipelines.prompt import TextEncoder, encode_prompts
from ltx_pipelines.stages import pixel_shape, refine

from ltx_bench.clips import FRAME_RATE, Clip, token_counts
from ltx_bench.flops import Tokens, connectors_flops, gemma_flops, transformer_flops
from ltx_bench.flops_convolutions import (
    audio_decoder_flops,
    upsampler_flops,
    video_decoder_flops,
    vocoder_flops,
)
from ltx_bench.items import SIZES, Item
from ltx_bench.networks import build
from ltx_bench.works.audio import mel_shape
from ltx_bench.works.base import Prepared, Setup, Work

PROMPT_SHARE = 4
"""A prompt has a fourth of the tokens that the text encoder takes at most: 256, a long one."""


class RandomModels:
    """A `ModelSource` of random networks, one at a time, as with `Memory.FREE`.

    Attributes:
        seconds: spent on making weights so far; no part of a generation.
    """

    def __init__(self, setup: Setup, item: Item) -> None:
        self.config, self.dtype = setup.config(item), setup.dtype
        self.layout = layout_of(self.config)
        self.name = f"random LTX-{item.version}"
        self.defaults = defaults_for(tuple(map(int, item.version.split("."))))
        self.num_blocks = self.config["transformer"]["num_layers"]
        self.distilled = True
        self.lora_reports: list[Any] = []
        self.length = SIZES[setup.scale].text
        self.seconds = 0.0

    @contextmanager
    def _use(self, *components: str) -> Iterator[list[Any]]:
        start = time.perf_counter()
        networks = [build(component, self.config, self.dtype) for component in components]
        self.seconds += time.perf_counter() - start
        try:
            yield networks
        finally:
            del networks
            mx.clear_cache()

    @contextmanager
    def text_encoder(self) -> Iterator[TextEncoder]:
        """For one prompt, whatever it is."""
        with self._use("text_encoder", "embeddings_processor") as (gemma, processor):
            count = self.length // PROMPT_SHARE
            ids = mx.random.randint(0, self.config["gemma"]["vocab_size"], (1, count), key=mx.random.key(0))
            tokens = SimpleNamespace(valid_ids=ids, padding=self.length - count)
            tokenizer = SimpleNamespace(encode=lambda prompt: tokens, max_length=self.length)
            yield TextEncoder(cast(Any, tokenizer), gemma, processor)

    @contextmanager
    def transformer(self, **_: Any) -> Iterator[Any]:
        """The whole network, for either stage."""
        with self._use("transformer") as (network,):
            yield network

    @contextmanager
    def video_decoder(self) -> Iterator[Any]:
        """The decoder."""
        with self._use("video_decoder") as (network,):
            yield network

    @contextmanager
    def audio_decoder(self) -> Iterator[tuple[Any, Any]]:
        """Decoder and vocoder."""
        with self._use("audio_decoder", "vocoder") as (decoder, vocoder):
            yield decoder, vocoder

    @contextmanager
    def spatial_upsampler(self) -> Iterator[tuple[Any, Any]]:
        """Upscaler and the latent's statistics."""
        with self._use("spatial_upsampler", "video_encoder") as (upsampler, encoder):
            yield upsampler, encoder.per_channel_statistics


class StageClock:
    """Seconds of each stage of a run, without those that the models took to be made."""

    def __init__(self, models: RandomModels) -> None:
        self.models = models
        self.stages: dict[str, float] = {}
        self._current = ""
        self._since = 0.0

    def _now(self) -> float:
        return time.perf_counter() - self.models.seconds

    def begin(self, stage: str) -> None:
        """A stage begins where the last one ends."""
        now = self._now()
        if self._current:
            self.stages[self._current] = now - self._since
        self._current, self._since = stage, now

    def on_step(self, event: StageEvent) -> None:
        """For the stages of pipelines."""
        if event.stage != self._current:
            self.begin(event.stage)


def distilled(setup: Setup, item: Item) -> Prepared:
    """A prompt to a clip with sound: 8 steps at half size, 3 at full size. Where there is an ffmpeg, to an
    mp4 file; else there is no stage "write"."""
    models = RandomModels(setup, item)
    source = cast(ModelSource, models)
    runs: list[dict[str, float]] = []
    encoder = _has_ffmpeg()

    def work(item: Item) -> Work:
        clip = item.clip
        config = DistilledConfig(
            prompt="random",
            width=clip.width,
            height=clip.height,
            num_frames=clip.frames,
            frame_rate=FRAME_RATE,
        )

        def run() -> None:
            clock, noise = StageClock(models), RandomNoise(0)
            (context,) = encode_prompts(source, [config.prompt], clock.on_step)
            first = first_stage(source, config, context, [], noise, clock.on_step)
            full = pixel_shape(config)
            latents = refine(
                source, first, shape=full, context=context, items=[], noise=noise, on_step=clock.on_step
            )
            frames = decode_frames(source, latents.video, clock.on_step)
            audio = decode_sound(source, latents.audio, clock.on_step)
            assert audio is not None
            waveform = np.array(audio.waveform)
            if encoder:
                clock.begin("write")
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, "clip.mp4")
                    write_mp4(path, frames, FRAME_RATE, waveform, audio.sampling_rate)
            clock.begin("end")
            runs.append(clock.stages)

        def details() -> dict[str, Any]:
            # The first run compiles and chooses kernels.
            counted: Sequence[dict[str, float]] = runs[1:] or runs
            stages = {name: statistics.median(run[name] for run in counted) for name in counted[0]}
            return {"stages": stages, "written": encoder, "prompt_tokens": models.length // PROMPT_SHARE}

        return Work(run, _flops(models, clip), lambda: models.seconds, details)

    return Prepared(work, 0)


def _flops(models: RandomModels, clip: Clip) -> int:
    config = models.config
    half = Clip(clip.width // 2, clip.height // 2, clip.frames)
    total = gemma_flops(config, models.length // PROMPT_SHARE)
    total += connectors_flops(config, models.length // PROMPT_SHARE, models.length)
    for size, steps in ((half, 8), (clip, 3)):
        video, audio = token_counts(config, size)
        # Keys and values of the text are computed in the first step of each stage.
        for known in [False] + [True] * (steps - 1):
            total += transformer_flops(config, Tokens(video, audio, models.length, text_known=known))
    total += upsampler_flops(config, half) + video_decoder_flops(config, clip)
    frames = token_counts(config, clip)[1]
    return total + audio_decoder_flops(config, frames) + vocoder_flops(config, mel_shape(config, frames)[2])


def _has_ffmpeg() -> bool:
    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        return False
    return True
