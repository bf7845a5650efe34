"""Sounds without pictures, against what the prompts ask for."""

from collections.abc import Iterable
from time import monotonic
from typing import Any

import mlx.core as mx
import numpy as np
from ltx_pipelines import TextToAudioConfig, TextToAudioPipeline

from ltx_pocket.evaluate.judge import Case, Pair, Verdict
from ltx_pocket.evaluate.makers import Size
from ltx_pocket.evaluate.tally import Share, tally
from ltx_pocket.world.detectors import listen


class Singer:
    """The pipeline on the prompts of clips.

    Args:
        size: whose length the sounds have.
        steps: None for the model's own.
    """

    def __init__(self, pipeline: TextToAudioPipeline, size: Size, steps: int | None = None) -> None:
        self.pipeline, self.size, self.steps = pipeline, size, steps

    def __call__(self, case: Case) -> str:
        """Which of the world's sounds is heard."""
        config = TextToAudioConfig(
            prompt=case.prompt,
            seed=case.seed,
            num_frames=self.size.num_frames,
            frame_rate=self.size.frame_rate,
            num_inference_steps=self.steps,
        )
        audio = self.pipeline(config).audio
        assert audio is not None
        return listen(np.array(audio.waveform.astype(mx.float32)), audio.sampling_rate).sound


def measure_sounds(make: Singer, cases: Iterable[Case]) -> dict[str, Any]:
    """How many sounds are those that prompts ask for; plain JSON values as of clips."""
    verdicts, seconds = [], 0.0
    for case in cases:
        started = monotonic()
        heard = make(case)
        seconds += monotonic() - started
        verdicts.append(Verdict({"sound": (Pair(case.scene.sound, heard),)}, (0, 0), None))
    nothing_seen = {"number_of_things": Share(0, 0).to_dict()}
    return {**tally(verdicts), **nothing_seen, "seconds_per_clip": round(seconds / max(1, len(verdicts)), 2)}
