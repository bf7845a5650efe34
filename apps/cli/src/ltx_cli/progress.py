"""What a person sees of a run: the plan first, then one bar for each stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ltx_pipelines import ClipConfig, OnStep, StageEvent, StagePlan
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


def print_plan(
    console: Console, config: ClipConfig, plan: Sequence[StagePlan], model: str, dtype: str
) -> None:
    """Say what is about to be made, before anything is loaded."""
    console.print(f"{config.summary()}, {model}, {dtype}", highlight=False, markup=False, soft_wrap=True)
    for stage in plan:
        detail = f": {stage.detail}" if stage.detail else ""
        console.print(f"  {stage.name}{detail}", highlight=False, soft_wrap=True)


@contextmanager
def bars(console: Console, plan: Sequence[StagePlan]) -> Iterator[OnStep]:
    """A callback for `on_step` that draws one bar for each stage of the plan."""
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {
            stage.name: progress.add_task(stage.name, total=stage.units, start=False, note="")
            for stage in plan
        }

        def on_step(event: StageEvent) -> None:
            task = tasks.get(event.stage)
            if task is None:
                task = tasks[event.stage] = progress.add_task(event.stage, start=False, note="")
            if event.index == 0:
                progress.start_task(task)
            note = "" if event.sigma is None else f"sigma {event.sigma:.3f}"
            progress.update(task, completed=event.index, total=event.total, note=note)
            if event.index >= event.total:
                progress.stop_task(task)

        yield on_step
