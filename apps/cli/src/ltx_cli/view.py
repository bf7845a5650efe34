"""What a run says while it works: to a person here, to a program in `events`."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from ltx_pipelines import OnStep, StageEvent, StagePlan
from ltx_pipelines.preview import LatentToRGB
from rich.console import Console

from ltx_cli.clip import Clip
from ltx_cli.progress import bars, print_plan


class View(Protocol):
    """Where a run is seen."""

    def begin(self, clip: Clip, stages: Sequence[StagePlan]) -> None:
        """What is about to be made, before anything is loaded."""

    def say(self, text: str) -> None:
        """A line that is worth knowing."""

    def stages(self, stages: Sequence[StagePlan]) -> AbstractContextManager[OnStep]:
        """The progress of a run; its `on_step`."""
        ...

    def end(self, output: Path, seconds: float) -> None:
        """The clip is written."""


class TerminalView:
    """Lines and bars on stderr.

    Attributes:
        watchers: called with every event of a run, too.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.watchers: list[OnStep] = []
        self._told_of_preview = False

    def begin(self, clip: Clip, stages: Sequence[StagePlan]) -> None:
        for note in clip.notes:
            self.say(note)
        print_plan(self.console, clip, stages)

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def stages(self, stages: Sequence[StagePlan]) -> Iterator[OnStep]:
        with bars(self.console, stages) as show:

            def on_step(event: StageEvent) -> None:
                show(event)
                for watch in self.watchers:
                    watch(event)

            yield on_step

    def preview(self, path: Path, event: StageEvent, how: LatentToRGB) -> None:
        """A picture of the clip so far is there."""
        if not self._told_of_preview:
            rough = "" if how.quality > 0.5 else ", very rough: this model's latents are far from colours"
            self.say(f"preview: {path}, written again as the clip is made{rough}")
        self._told_of_preview = True

    def end(self, output: Path, seconds: float) -> None:
        self.say(f"{output}: made in {seconds:.1f} s")
