"""`--json`: what a run does, for programs; one JSON object a line on stderr. The schema is in docs/cli.md."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ltx_pipelines import OnStep, StageEvent, StagePlan
from ltx_pipelines.preview import LatentToRGB

from ltx_cli.clip import Clip


def emit(event: str, **values: Any) -> None:
    """One event, at once."""
    print(json.dumps({"event": event, **values}, default=str), file=sys.stderr, flush=True)


def fail(error: BaseException) -> NoReturn:
    """The last event of a command that failed, and its end."""
    from ltx_cli.exit_codes import exit_of, text_of

    code = int(exit_of(error))
    emit("error", text=text_of(error), exit_code=code)
    raise SystemExit(code) from None


class JsonView:
    """A `View` for programs.

    Attributes:
        watchers: called with every event of a run, too.
    """

    def __init__(self) -> None:
        self.watchers: list[OnStep] = []

    def begin(self, clip: Clip, stages: Sequence[StagePlan]) -> None:
        for note in clip.notes:
            self.say(note)
        models, config = clip.runner.models, clip.config
        emit(
            "plan",
            output=str(clip.output),
            pipeline=clip.runner.recipe.name,
            model=models.name,
            dtype=str(models.dtype).removeprefix("mlx.core."),
            loras=[str(report) for report in models.lora_reports],
            prompt=config.prompt,
            seed=config.seed,
            width=config.width if config.has_picture else 0,
            height=config.height if config.has_picture else 0,
            num_frames=config.num_frames if config.has_picture else 0,
            frame_rate=config.frame_rate,
            seconds=config.seconds,
            sound=config.generate_audio,
            stages=[vars(stage) for stage in stages],
            needs=clip.needs and vars(clip.needs),
        )

    def say(self, text: str) -> None:
        emit("note", text=text)

    @contextmanager
    def stages(self, stages: Sequence[StagePlan]) -> Iterator[OnStep]:
        began: dict[str, float] = {}

        def on_step(event: StageEvent) -> None:
            now = time.monotonic()
            seconds = now - began.setdefault(event.stage, now)
            left = seconds / event.index * (event.total - event.index) if event.index else None
            values = {"seconds": round(seconds, 3), "left": left if left is None else round(left, 3)}
            emit(
                "stage", stage=event.stage, index=event.index, total=event.total, sigma=event.sigma, **values
            )
            for watch in self.watchers:
                watch(event)

        yield on_step

    def preview(self, path: Path, event: StageEvent, how: LatentToRGB) -> None:
        """A picture of the clip so far is there."""
        quality = round(how.quality, 3)
        emit("preview", path=str(path), stage=event.stage, index=event.index, quality=quality)

    def end(self, output: Path, seconds: float) -> None:
        emit("done", output=str(output), seconds=round(seconds, 3))
