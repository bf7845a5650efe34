"""`python -m ltx_pocket.evaluate`."""

import typer

from ltx_pocket.evaluate.command import evaluate

typer.run(evaluate)
