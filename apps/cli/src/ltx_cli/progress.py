"""What a person sees of a run: the plan first, then one bar for each stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ltx_pipelines import OnStep, StageEvent, StagePlan
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ltx_cli.clip import Clip


def print_plan(console: Console, clip: Clip, plan: Sequence[StagePlan]) -> None:
    """Say what is about to be made, before anything is loaded."""
    models = clip.runner.models
    dtype = str(models.dtype).removeprefix("mlx.core.")
    lines = [f"{clip.config.summary()}, {models.name}, {dtype}"]
    lines += [f"  {stage.name}{': ' if stage.detail else ''}{stage.detail}" for stage in plan]
    lines += [f"LoRA {report}" for report in models.lora_reports]
    if clip.needs is not None:
        lines.append(str(clip.needs))
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def bars(console: Console, plan: Sequence[StagePlan]) -> Iterator[OnStep]:
    """A callback for `on_step` that draws one bar for each stage of the plan."""
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
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
