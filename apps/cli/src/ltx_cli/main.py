"""Entry point of the `ltx` command: its sub-commands, and how its errors look."""

import sys
from collections.abc import Sequence

import typer
from ltx_core import LTXError
from rich.console import Console
from rich.text import Text

from ltx_cli.arguments import join_image_values
from ltx_cli.generate import generate
from ltx_cli.info import info

app = typer.Typer(
    name="ltx",
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
        app(args=join_image_values(given), prog_name="ltx")
    except LTXError as error:
        console = Console(stderr=True, soft_wrap=True)
        console.print(Text("error: ", style="bold red") + Text(str(error)))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        raise SystemExit(130) from None
