"""Fused formulas against what they stand for; on CUDA these are kernels of our own."""

import mlx.core as mx
import mlx.nn as nn
import pytest
from ltx_core.fused import _split, norm_silu


@pytest.mark.parametrize("width", [4, 8, 32, 48, 64, 96, 128, 1024])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_norm_silu_and_its_gradient(width: int, dtype: mx.Dtype) -> None:
    mx.random.seed(width)
    x = mx.random.normal((3, 5, width)).astype(dtype)
    cotangent = mx.random.normal(x.shape).astype(dtype)

    def plain(values: mx.array) -> mx.array:
        values = values.astype(mx.float32)
        return nn.silu(values * mx.rsqrt(mx.square(values).mean(axis=-1, keepdims=True) + 1e-8))

    (want,), (slope,) = mx.vjp(plain, [x], [cotangent.astype(mx.float32)])
    (got,), (ours,) = mx.vjp(lambda values: norm_silu(values, 1e-8), [x], [cotangent])
    assert got.dtype == dtype
    limit = 1e-5 if dtype == mx.float32 else 0.05
    assert mx.allclose(got.astype(mx.float32), want, atol=limit, rtol=limit)
    assert mx.allclose(ours.astype(mx.float32), slope.astype(mx.float32), atol=2 * limit, rtol=limit)


def test_rows_are_split_into_whole_packs() -> None:
    for width in range(1, 2000):
        split = _split(width)
        if split is not None:
            lanes, packs = split
            assert lanes * packs * 8 == width
            assert 32 % lanes == 0
    assert _split(64) == (8, 1)
    assert _split(1024) == (32, 4)
    assert _split(12) is None
