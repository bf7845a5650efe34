"""Benchmarks of LTX-2 on MLX: every stage at the sizes of the published checkpoints, on random weights."""
