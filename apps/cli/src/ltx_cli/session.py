"""Options of all commands that make clips: which of them, from what settings, and how they are shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ltx_cli.groups import OptionGroup
from ltx_cli.records import arguments_of, read_batch, read_config

NAMES = (
    "config", "from_video", "batch", "repeat", "strict", "preview", "json", "resume"
)  # fmt: skip
"""Of the options below; none of them is a setting of a clip."""

# Typer looks at these three before it looks at other options.


def _from_config(context: typer.Context, value: Path | None) -> Path | None:
    if value is not None and not context.resilient_parsing:
        found = arguments_of(context, read_config(value), str(value), NAMES)
        context.default_map = {**(context.default_map or {}), **found}
    return value


def _from_video(context: typer.Context, value: Path | None) -> Path | None:
    if value is not None and not context.resilient_parsing:
        from ltx_cli.again import options_of

        found = arguments_of(context, options_of(value, str(context.info_name)), str(value), NAMES)
        context.default_map = {**found, **(context.default_map or {})}
    return value


def _from_batch(context: typer.Context, value: Path | None) -> Path | None:
    """What the command cannot be without, from the first line; all that stands in the lines comes later."""
    if value is not None and not context.resilient_parsing:
        where, settings = read_batch(value)[0]
        required = {parameter.name for parameter in context.command.params if parameter.required}
        line = arguments_of(context, settings, where, NAMES)
        found = {name: argument for name, argument in line.items() if name in required}
        context.default_map = {**found, **(context.default_map or {})}
    return value


@dataclass(frozen=True)
class SessionOptions(OptionGroup):
    """How many clips are made, from what, and what is seen of it."""

    panel = "Settings and batches"
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            callback=_from_config,
            is_eager=True,
            help="Settings by the names of options; the command line wins.",
        ),
    ] = None
    from_video: Annotated[
        Path | None,
        typer.Option(
            metavar="CLIP",
            callback=_from_video,
            is_eager=True,
            help="Settings from the record in a clip; --config and the command line win.",
        ),
    ] = None
    batch: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=_from_batch,
            is_eager=True,
            help="A clip for each line: a prompt, or a JSON object with settings, which win.",
        ),
    ] = None
    repeat: Annotated[
        int, typer.Option(min=1, metavar="N", help="N clips, with this seed and those that follow.")
    ] = 1
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse sizes that would be rounded to what the model can make.")
    ] = False
    preview: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Every N steps, a picture of the clip so far beside the output."
        ),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run with the same settings was interrupted.")
    ] = False
    json: Annotated[
        bool, typer.Option("--json", help="Events as JSON on stderr, one object a line, for programs.")
    ] = False
