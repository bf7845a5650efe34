"""Entry point of the `ltx` command: its sub-commands, and how its errors look."""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from ltx_core import LTXError
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from ltx_cli.arguments import join_values
from ltx_cli.generate import generate
from ltx_cli.info import info


class Commands(TyperGroup):
    """Sub-commands; those of the pocket model are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), "pocket"]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name != "pocket":
            return super().get_command(ctx, cmd_name)
        from ltx_pocket.commands import app as pocket

        return typer.main.get_command(pocket)


app = typer.Typer(
    name="ltx",
    cls=Commands,
    help="Video with sound from a prompt, made on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(generate)
app.command()(info)


@app.callback()
def _group() -> None:
    """Keeps sub-commands named even if there were only one."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=join_values(given), prog_name="ltx")
    except LTXError as error:
        console = Console(stderr=True, soft_wrap=True)
        console.print(Text("error: ", style="bold red") + Text(str(error)))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        raise SystemExit(130) from None
