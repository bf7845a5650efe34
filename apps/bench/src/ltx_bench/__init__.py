"""Benchmarks of LTX-2 on MLX: every stage at the sizes of the published checkpoints, on random weights."""

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
