"""Entry point of the `ltx` command: its sub-commands, and how its errors look."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from ltx_pipelines import ModelWarning
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from ltx_cli.arguments import join_values
from ltx_cli.audio_to_video import audio_to_video
from ltx_cli.convert import convert_checkpoint
from ltx_cli.download import fetch
from ltx_cli.extend import extend
from ltx_cli.generate import generate
from ltx_cli.ic_lora import ic_lora
from ltx_cli.info import info
from ltx_cli.interrupts import Signalled
from ltx_cli.keyframes import keyframes
from ltx_cli.retake import retake
from ltx_cli.text_to_audio import text_to_audio
from ltx_cli.together import run

# Groups of commands of other applications: the modules that have them as `app`.
GROUPS = {"pocket": "ltx_pocket.commands", "bench": "ltx_bench.commands"}


class Commands(TyperGroup):
    """Sub-commands; those of other applications are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in GROUPS:
            return super().get_command(ctx, cmd_name)
        return typer.main.get_command(import_module(GROUPS[cmd_name]).app)


app = typer.Typer(
    name="ltx",
    cls=Commands,
    help="Video with sound from a prompt, made on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(generate)
app.command()(keyframes)
app.command()(ic_lora)
app.command()(audio_to_video)
app.command()(retake)
app.command()(extend)
app.command(name="audio")(text_to_audio)
app.command()(info)
app.command(name="download")(fetch)
app.command(name="convert")(convert_checkpoint)


@app.callback()
def _group() -> None:
    """Keeps sub-commands named even if there were only one."""


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **_options: Any
) -> None:
    """Warnings of models are for people; others are for programmers, who find them in the tests."""
    if issubclass(category, ModelWarning):
        console = Console(stderr=True, soft_wrap=True)
        console.print(Text("warning: ", style="bold yellow") + Text(str(message)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what goes wrong is one line on stderr, and an exit code of `exit_codes`."""
    warnings.showwarning = _show_warning
    given = list(sys.argv[1:] if arguments is None else arguments)
    run(lambda: _run(given))


def _run(given: Sequence[str]) -> None:
    try:
        app(args=join_values(given), prog_name="ltx")
    except (Exception, KeyboardInterrupt, Signalled) as error:
        from ltx_cli.exit_codes import end

        end(error)
