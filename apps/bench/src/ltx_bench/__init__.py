"""Benchmarks of LTX-2 on MLX."""
