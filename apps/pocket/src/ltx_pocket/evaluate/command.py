"""`ltx pocket evaluate`: measure the pocket model."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from ltx_core import ConfigError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ltx_pocket import configs
from ltx_pocket.evaluate.makers import PipelineName, Size
from ltx_pocket.evaluate.run import REPORT, measure
from ltx_pocket.evaluate.settings import Part, Settings
from ltx_pocket.evaluate.tables import print_report
from ltx_pocket.files import WEIGHTS

T = TypeVar("T")


def evaluate(
    out: Annotated[Path, typer.Option(help="Folder for the report and pictures of the first clips.")] = Path(
        "evaluation"
    ),
    part: Annotated[
        str, typer.Option(help=f"Of {', '.join(Part)}; joined by commas, or all of them: all.")
    ] = "prompts,bounce,vae,guidance,image",
    pipeline: Annotated[
        list[PipelineName] | None,
        typer.Option(help="Repeatable. world: the world's own clips, for what the detectors miss."),
    ] = None,
    count: Annotated[int, typer.Option(help="Clips of prompts, vae and image, each.")] = 100,
    few: Annotated[int, typer.Option(help="Clips of every other part, and of each guidance scale.")] = 32,
    guidance_sweep: Annotated[str, typer.Option(help="Guidance scales, joined by commas.")] = "1,2,3,5",
    steps: Annotated[
        int | None, typer.Option(help="Of pipelines with guidance; the model's own if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of scenes, wordings and noise.")] = 7,
    height: Annotated[int, typer.Option(help="Pixels.")] = configs.HEIGHT,
    width: Annotated[int, typer.Option(help="Pixels.")] = configs.WIDTH,
    num_frames: Annotated[int, typer.Option(help="8 k + 1.")] = configs.NUM_FRAMES,
    frame_rate: Annotated[float, typer.Option(help="Frames per second.")] = configs.FRAME_RATE,
    weights: Annotated[Path, typer.Option(help="Folder of the model.")] = WEIGHTS,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
) -> None:
    """Measure how well clips do what unseen prompts ask for, by classical detectors."""
    settings = Settings(
        out=out,
        weights=weights,
        parts=_parts(part),
        pipelines=tuple(pipeline or [PipelineName.distilled]),
        count=count,
        few=few,
        scales=_scales(guidance_sweep),
        steps=steps,
        seed=seed,
        size=Size(height, width, num_frames, frame_rate),
        dtype=dtype,
    )
    with _bars() as progress:

        def track(items: Sequence[T], what: str) -> Iterable[T]:
            return progress.track(items, description=what)

        report = measure(settings, track)
    print_report(Console(), report)
    Console(stderr=True).print(f"{out / REPORT}: all numbers", highlight=False, markup=False, soft_wrap=True)


def _bars() -> Progress:
    columns = TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))


def _parts(text: str) -> tuple[Part, ...]:
    if text == "all":
        return tuple(Part)
    names = [name.strip() for name in text.split(",")]
    unknown = sorted(set(names) - set(Part))
    if unknown:
        raise ConfigError(f"--part {', '.join(unknown)} is unknown; there are {', '.join(Part)}")
    return tuple(each for each in Part if each in names)


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--guidance-sweep {text!r} is not a list of numbers; the form is 1,2,3,5"
        ) from None
