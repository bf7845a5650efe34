"""The recipe of the pocket model: one module per stage, each run as `python -m ltx_pocket.train.<stage>`."""
