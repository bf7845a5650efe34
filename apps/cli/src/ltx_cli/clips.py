"""What all commands that make clips share: from their options to clips, one after the other."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import typer
from ltx_core import ConfigError, LTXError
from ltx_pipelines import Cancelled, CheckpointModels, Memory
from ltx_pipelines.machine import available_memory
from ltx_pipelines.memory_plan import ClipSize, plan_memory

from ltx_cli.again import compare
from ltx_cli.arguments import parse_numbers
from ltx_cli.clip import Clip
from ltx_cli.events import JsonView
from ltx_cli.groups import grouped_options
from ltx_cli.models import shared_models
from ltx_cli.previews import PreviewWriter
from ltx_cli.records import arguments_of, read_batch, settings_of
from ltx_cli.running import make_clip
from ltx_cli.session import NAMES, SessionOptions
from ltx_cli.sizes import rounded
from ltx_cli.view import TerminalView, View

# Not in the record of a clip: where it was written, and what changes nothing in it.
NOT_RECORDED = {"output", "force", "offline"}
# Of a config, where no option said so: what a model of another release may have other defaults for.
FROM_CONFIG = ("height", "width", "num_frames", "frame_rate")


@dataclass(frozen=True)
class Order:
    """The options of one clip.

    Attributes:
        where: they stand, if that is not the command line.
        values: by parameters of the command.
    """

    where: str
    values: dict[str, Any]


def clip_command(command: Callable[..., Clip], *, picture: bool = True) -> Callable[..., None]:
    """A command that makes the clips its options ask for: `command` says how one of them is made.

    Args:
        picture: whether there is one, for previews.
    """
    make = grouped_options(command)

    def run(context: typer.Context, **values: Any) -> None:
        session = SessionOptions(**{name: values.pop(name) for name in own})
        make_clips(context, session, list(orders(context, session, values)), make)

    shared = inspect.signature(grouped_options(_session_only)).parameters.values()
    options = [option for option in shared if picture or option.name != "preview"]
    own = [option.name for option in options]
    keyword = inspect.Parameter.KEYWORD_ONLY
    first = inspect.Parameter("context", keyword, annotation=typer.Context)
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [first, *inspect.signature(make).parameters.values(), *options]
    )
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _session_only(*, session: SessionOptions) -> None:
    """Stands for its options."""


def orders(context: typer.Context, session: SessionOptions, values: dict[str, Any]) -> Iterator[Order]:
    """One for each line of a batch and each seed, with outputs of their own.

    Raises:
        ConfigError: a line has something else than settings, or two clips would have one name.
    """
    lines: Sequence[tuple[str, dict[str, Any]]] = [("", {})]
    if session.batch is not None:
        lines = read_batch(session.batch)
    written: dict[Path, str] = {}
    for number, (where, settings) in enumerate(lines, 1):
        line = {**values, **_converted(context, arguments_of(context, settings, where, NAMES))}
        seeds = _seeds(line["seed"], session.repeat)
        output: Path = line["output"]
        if len(lines) > 1 and "output" not in settings:
            output = output.with_stem(f"{output.stem}-{number:03d}")
        for seed in seeds:
            own = output.with_stem(f"{output.stem}-seed{seed}") if len(seeds) > 1 else output
            name = where or f"seed {seed}"
            if own in written:
                raise ConfigError(
                    f"{written[own]} and {name} are both to be written to {own}; give two names"
                )
            written[own] = name
            yield Order(where, {**line, "seed": str(seed), "output": own})


def _converted(context: typer.Context, arguments: dict[str, Any]) -> dict[str, Any]:
    """What the parser makes of them."""
    parameters = {parameter.name: parameter for parameter in context.command.params}
    return {name: parameters[name].process_value(context, value) for name, value in arguments.items()}


def _seeds(text: str, repeat: int) -> list[int]:
    seeds = parse_numbers("--seed", text)
    if repeat > 1 and len(seeds) > 1:
        raise ConfigError("--repeat counts up from one --seed; leave one of them out, or give one seed")
    return [seed + more for seed in seeds for more in range(repeat)]


def make_clips(
    context: typer.Context, session: SessionOptions, wanted: Sequence[Order], make: Callable[..., Clip]
) -> None:
    """Look at all of them, and then make one after the other, with the networks of the last where they serve.

    Raises:
        LTXError: one cannot be made as it was asked for; nothing is made then. Or one of several failed; the
            others are there.
    """
    with shared_models():
        clips = [_begin(context, session, order, make) for order in wanted]
        _keep_networks(clips)
        failed = []
        while clips:
            clip = clips.pop(0)
            view = _view(session, clip)
            if len(wanted) > 1:
                view.say(f"clip {len(wanted) - len(clips)} of {len(wanted)}")
            try:
                make_clip(clip, view)
            except Cancelled:
                raise
            except LTXError as error:
                if len(wanted) == 1:
                    raise
                view.say(f"{clip.output} failed: {error}")
                failed.append(str(clip.output))
        if failed:
            raise LTXError(f"{len(failed)} of {len(wanted)} clips failed: {', '.join(failed)}")


def _begin(context: typer.Context, session: SessionOptions, order: Order, make: Callable[..., Clip]) -> Clip:
    """A clip of which nothing is made yet, with what is to be said of it."""
    try:
        clip = make(**order.values)
        notes = rounded(order.values, clip.config, session.strict)
    except LTXError as error:
        if not order.where:
            raise
        raise ConfigError(f"{order.where}: {error}") from error
    known = {field.name for field in fields(clip.config)} & set(order.values)
    made = {name: getattr(clip.config, name) for name in FROM_CONFIG if name in known}
    values = {name: value for name, value in order.values.items() if name not in NOT_RECORDED}
    command = {"name": context.info_name, "options": settings_of({**values, **made})}
    if note := clip.files.note(clip.config.prompt):
        notes.insert(0, note)
    if session.from_video is not None:
        notes += compare(session.from_video, clip)
    return replace(clip, command=command, notes=tuple(notes), resume=session.resume)


def _view(session: SessionOptions, clip: Clip) -> View:
    view = JsonView() if session.json else TerminalView()
    if session.preview is not None:
        view.watchers.append(
            PreviewWriter(clip.runner.models, clip.output, session.preview, view.preview, view.say)
        )
    return view


def _keep_networks(clips: Sequence[Clip]) -> None:
    """Networks of several clips stay in memory from one to the next, if there is room for all of them."""
    shared: dict[int, list[Clip]] = {}
    for clip in clips:
        shared.setdefault(id(clip.runner.models), []).append(clip)
    for users in shared.values():
        models = users[0].runner.models
        if len(users) > 1 and isinstance(models, CheckpointModels) and models.memory is Memory.FREE:
            plans = (
                plan_memory(models, ClipSize.of(clip.config), clip.runner.plan(clip.config), Memory.KEEP)
                for clip in users
            )
            available = available_memory()
            if available is not None and max(plan.peak for plan in plans) <= available:
                models.memory = Memory.KEEP
