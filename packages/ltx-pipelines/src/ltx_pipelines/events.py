"""The event protocol: what a run tells its caller while it works.

A pipeline calls `on_step(event)` when a stage begins (index 0) and after every unit of its work. The callback
may raise `Cancelled` to end the run; nothing is written then.
"""

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
from ltx_core import LTXError


class Cancelled(LTXError):
    """Raised by a callback to end a run."""


@dataclass(frozen=True, eq=False)
class StageEvent:
    """Progress of one stage.

    Attributes:
        stage: name of the stage, as in the pipeline's plan ("encode prompt", "stage 1", ...).
        index: units of work done, 0 at its beginning.
        total: units of work of the stage.
        sigma: noise level reached, for denoising stages.
        video: estimate of the clean video latent, (B, C, F, H, W), for denoising stages: a preview.
    """

    stage: str
    index: int
    total: int
    sigma: float | None = None
    video: mx.array | None = None


OnStep = Callable[[StageEvent], None]
"""What hears of progress; it may raise `Cancelled`."""


def ignore(event: StageEvent) -> None:
    """The callback of a caller that did not pass one."""
