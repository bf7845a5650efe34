"""The command group `ltx pocket`."""

import typer

from ltx_pocket.evaluate.command import evaluate
from ltx_pocket.evaluate.pictures import pictures
from ltx_pocket.info import info

app = typer.Typer(
    name="pocket",
    help="The pocket model: a small LTX-2 that ships with this command.",
    no_args_is_help=True,
    add_completion=False,
)
app.command()(info)
app.command()(evaluate)
app.command()(pictures)
