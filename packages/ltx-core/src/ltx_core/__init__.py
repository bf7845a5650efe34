"""Sampling maths of LTX-2 on MLX."""

from ltx_core import blas as blas  # isort: skip  (must come before anything that imports mlx)
