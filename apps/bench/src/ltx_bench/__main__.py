"""`python -m ltx_bench`: the command group without the rest of the command line."""

from ltx_bench.commands import app

app(prog_name="ltx bench")
