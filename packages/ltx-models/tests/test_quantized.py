"""The linear layer of quantised weights: both ways to multiply give the same."""

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_models.quantized import DEQUANTIZE_FROM_ROWS, QuantizedLinear

MODES = [("affine", 8, 64), ("affine", 4, 32), ("mxfp8", 8, 32), ("mxfp4", 4, 32), ("nvfp4", 4, 16)]


@settings(max_examples=20, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    shape=st.sampled_from([(1,), (2, 3), (2, 1), (1, 9, 2)]),
    bias=st.booleans(),
)
def test_both_products_agree(mode: tuple[str, int, int], shape: tuple[int, ...], bias: bool) -> None:
    name, bits, group = mode
    linear = nn.Linear(64, 24, bias=bias)
    layer = QuantizedLinear.from_linear(linear, group, bits, mode=name)
    assert isinstance(layer, QuantizedLinear)
    x = mx.random.normal((*shape, 64))
    want = nn.QuantizedLinear.from_linear(linear, group, bits, mode=name)(x)
    assert layer(x).shape == (*shape, 24)
    np.testing.assert_allclose(layer(x), want, atol=1e-4)


@pytest.mark.parametrize("rows", [1, DEQUANTIZE_FROM_ROWS["cpu"]])
def test_the_dtype_is_that_of_the_input(rows: int) -> None:
    linear = nn.Linear(64, 8)
    linear.set_dtype(mx.bfloat16)
    layer = QuantizedLinear.from_linear(linear, 64, 8)
    assert layer(mx.ones((rows, 64), mx.bfloat16)).dtype == mx.bfloat16
