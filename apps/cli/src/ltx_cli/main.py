"""Entry point of the `ltx` command: its sub-commands, and how its errors look.

Nothing is imported here that takes long: the module of a sub-command, and MLX with it, when that is called.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from ltx_cli.interrupts import Signalled
from ltx_cli.joined import join_values
from ltx_cli.together import run


class Where(NamedTuple):
    """Where a sub-command is, and its line in the list of all: the first of its own help."""

    module: str
    name: str
    help: str


COMMANDS = {
    "generate": Where("generate", "generate", "Make a clip with sound from a prompt."),
    "keyframes": Where(
        "keyframes", "keyframes", "Make a clip that moves from one image to the next, in two guided stages."
    ),
    "ic-lora": Where(
        "ic_lora",
        "ic_lora",
        "Make a clip after a reference video, with an in-context LoRA on a distilled model.",
    ),
    "audio-to-video": Where(
        "audio_to_video",
        "audio_to_video",
        "Make a clip to a sound, which stays as it is, in two guided stages.",
    ),
    "retake": Where(
        "retake", "retake", "Make a part of a clip anew, picture and sound; the rest stays as it is."
    ),
    "extend": Where(
        "extend", "extend", "Make a clip longer, picture and sound; the clip itself stays as it is."
    ),
    "audio": Where(
        "text_to_audio",
        "text_to_audio",
        "Make a sound from a prompt, with the audio half of the model alone.",
    ),
    "info": Where("info", "info", "Show what a model file holds, or what a clip was made with."),
    "download": Where(
        "download",
        "fetch",
        "Fetch what a pipeline needs of a repository into the Hugging Face cache, and say where it lies.",
    ),
    "convert": Where(
        "convert",
        "convert_checkpoint",
        "Write a checkpoint as a folder of shards that --checkpoint takes, quantised with -q.",
    ),
}

# Groups of commands of other applications, which each have an `app`.
GROUPS = {
    "pocket": Where(
        "ltx_pocket.commands", "app", "The pocket model: a small LTX-2 that ships with this command."
    ),
    "bench": Where(
        "ltx_bench.commands",
        "app",
        "Time and memory of every stage, at the published sizes, on random weights.",
    ),
}


class Commands(TyperGroup):
    """All sub-commands by their lines; itself, one is imported when it is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, where in {**COMMANDS, **GROUPS}.items():
            self.commands[name] = TyperCommand(name, help=where.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(str(name)), rest


def load(name: str) -> Any:
    """A sub-command itself."""
    if name in GROUPS:
        return typer.main.get_command(import_module(GROUPS[name].module).app)
    where = COMMANDS[name]
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name=name)(getattr(import_module(f"ltx_cli.{where.module}"), where.name))
    return typer.main.get_command(single)


app = typer.Typer(name="ltx", cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """Video with sound from a prompt, made on your own machine."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what goes wrong is one line on stderr, and an exit code of `exit_codes`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for_programs = "--json" in given
    warnings.showwarning = _show_warning_as_json if for_programs else _show_warning
    run(lambda: _run(given, for_programs))


def _run(given: Sequence[str], for_programs: bool) -> None:
    try:
        app(args=join_values(given), prog_name="ltx")
    except (Exception, KeyboardInterrupt, Signalled) as error:
        if for_programs:
            from ltx_cli.events import fail

            fail(error)
        from ltx_cli.exit_codes import end

        end(error)


def _of_models(category: type[Warning]) -> bool:
    """Warnings of models are for people; others are for programmers, who find them in the tests."""
    pipelines = sys.modules.get("ltx_pipelines")
    return pipelines is not None and issubclass(category, pipelines.ModelWarning)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **_options: Any) -> None:
    if _of_models(category):
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True, soft_wrap=True)
        console.print(Text("warning: ", style="bold yellow") + Text(str(message)))


def _show_warning_as_json(message: Warning | str, category: type[Warning], *_: Any, **_options: Any) -> None:
    if _of_models(category):
        from ltx_cli.events import emit

        emit("warning", text=str(message))
