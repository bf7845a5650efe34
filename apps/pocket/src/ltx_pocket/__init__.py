"""A small LTX-2, trained on a procedural world, that ships with the project."""

import ltx_core  # noqa: F401  (loads the BLAS before mlx)
