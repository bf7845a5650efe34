"""A clip to a given sound: whether the sound is kept, and whether things bounce to it."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import mlx.core as mx
import numpy as np
from ltx_core import Audio
from ltx_pipelines import AudioToVideoConfig, AudioToVideoPipeline

from ltx_pocket.evaluate.judge import Case, Made, assign
from ltx_pocket.evaluate.makers import Size, World, made_of
from ltx_pocket.evaluate.numbers import mean, share
from ltx_pocket.evaluate.parts import Series
from ltx_pocket.evaluate.settings import Track
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.evaluate.tally import IN_TIME
from ltx_pocket.world.detectors import bounce_sync, listen, look


class Drummer:
    """The pipeline on the sounds of scenes.

    Args:
        steps: of the guided stage; None for the model's own.
    """

    def __init__(self, pipeline: AudioToVideoPipeline, size: Size, steps: int | None = None) -> None:
        self.pipeline, self.size, self.steps = pipeline, size, steps
        self.world = World(size)

    def __call__(self, case: Case, image: np.ndarray | None = None) -> Made:
        truth = self.world(case)
        config = AudioToVideoConfig(
            prompt=case.prompt,
            seed=case.seed,
            audio=Audio(mx.array(truth.waveform), truth.sampling_rate),
            num_inference_steps=self.steps,
            **self.size._asdict(),
        )
        return made_of(self.pipeline(config))


def off_the_beat(case: Case, made: Made, sound: Made) -> float | None:
    """Seconds between the bounces of a clip and the pulses of a sound; None where nothing bounces."""
    wanted = [{"colour": thing.colour, "shape": thing.shape} for thing in case.scene.things]
    thing = assign(wanted, look(made.frames / np.float32(255), made.frame_rate).things)[0]
    if thing is None or thing.motion != "bounce":
        return None
    heard = listen(sound.waveform, sound.sampling_rate)
    seconds = bounce_sync(thing.track, heard, made.frame_rate)
    return seconds if seconds is not None and np.isfinite(seconds) else None


def measure_beat(
    make: Drummer, cases: Sequence[Case], track: Track, what: str, sheet: ContactSheet
) -> dict[str, Any]:
    """How far bounces are from the pulses of the given sound, and from those of other sounds, which says what
    chance gives; plain JSON values."""
    series = Series(sheet)
    sounds = [make.world(case) for case in cases]
    kept: list[bool] = []
    own: list[float | None] = []
    others: list[float | None] = []
    for number, case in enumerate(track(cases, what)):
        made = series.add(make, case)
        kept.append(bool(np.array_equal(made.waveform, sounds[number].waveform)))
        own.append(off_the_beat(case, made, sounds[number]))
        rest = (off_the_beat(case, made, sound) for sound in sounds[:number] + sounds[number + 1 :])
        found = [late for late in rest if late is not None]
        others.append(fmean(found) if found else None)
    numbers = {
        "sound kept exactly, %": share(kept, 100),
        "bounces, %": share([late is not None for late in own]),
        "off the beat, ms": mean([None if late is None else 1000 * late for late in own]),
        "off other clips' beats, ms": mean([None if late is None else 1000 * late for late in others]),
        f"within {1000 * IN_TIME:g} ms, %": share([late is not None and late < IN_TIME for late in own]),
        "nearer to its own beat, %": share(
            [None if a is None or b is None else a < b for a, b in zip(own, others, strict=True)]
        ),
    }
    return {"numbers": numbers, **series.summary()}
