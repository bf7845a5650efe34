"""What a run keeps of its stages, so that one that was cut short goes on where it was, bit for bit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import mlx.core as mx
from ltx_core import GuidedDenoiser, LatentState, NoiseFn, StepEvent
from ltx_core.denoisers import Denoiser

STREAMS = ("video", "audio")


@dataclass(frozen=True, eq=False)
class SavedStage:
    """What is kept of one stage: all of it, or how far it came.

    Attributes:
        arrays: by name; of a finished stage its result, of another the states after its last step.
        step: steps that were made.
        steps: steps of the whole stage.
        draws: shapes of what noise was drawn for, in order: what a stage that is not repeated would have
            drawn must not be drawn by the next one.
        text: of a stage that writes.
    """

    arrays: dict[str, mx.array]
    step: int = 1
    steps: int = 1
    draws: tuple[tuple[int, ...], ...] = ()
    text: str = ""

    @property
    def finished(self) -> bool:
        """Whether `arrays` hold the result."""
        return self.step >= self.steps

    def draw_again(self, noise: NoiseFn) -> None:
        """Draw what the stage drew, and drop it."""
        for shape in self.draws:
            noise(mx.zeros(shape))

    def states(self, fresh: list[LatentState | None], denoiser: Denoiser) -> list[LatentState | None]:
        """States after the last step, from those before the first; the denoiser gets its memory back."""
        if isinstance(denoiser, GuidedDenoiser):
            denoiser.last = self.arrays.get("video_last"), self.arrays.get("audio_last")
        return [
            state if state is None else state.replace(latent=self.arrays[name])
            for name, state in zip(STREAMS, fresh, strict=True)
        ]


class StageStore(Protocol):
    """Where a pipeline keeps what its stages have made; see `LatentCache` for one on disk.

    The names of the stages of a run differ. A store is for one run: the same pipeline, models, config, noise.
    """

    def load(self, stage: str) -> SavedStage | None:
        """What was kept of a stage of an earlier run; None: nothing, it is to be made."""

    def save(self, stage: str, saved: SavedStage) -> None:
        """Called after every step of a stage, and when it is finished. Must not raise for want of space."""


@dataclass
class DrawnNoise:
    """Noise whose draws are counted."""

    noise: NoiseFn
    draws: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, like: mx.array) -> mx.array:
        self.draws.append(like.shape)
        return self.noise(like)

    def result(self, latents: dict[str, mx.array]) -> SavedStage:
        """What to keep of a stage that is over."""
        return SavedStage(latents, draws=tuple(self.draws))

    def so_far(self, event: StepEvent, denoiser: Denoiser) -> SavedStage:
        """What to keep after a step that is not the last one."""
        last = denoiser.last if isinstance(denoiser, GuidedDenoiser) else (None, None)
        arrays = {
            name: state.latent
            for name, state in zip(STREAMS, (event.video, event.audio), strict=True)
            if state is not None
        }
        for name, prediction in zip(STREAMS, last, strict=True):
            if prediction is not None:
                arrays[f"{name}_last"] = prediction
        return SavedStage(arrays, event.step + 1, event.num_steps, tuple(self.draws))


def kept(
    store: StageStore | None, stage: str, make: Callable[[], dict[str, mx.array]]
) -> dict[str, mx.array]:
    """The arrays of a stage without steps: those that were kept, or new ones, which are kept then."""
    if store is None:
        return make()
    saved = store.load(stage)
    if saved is None:
        saved = SavedStage(make())
        store.save(stage, saved)
    return saved.arrays
