"""The linear layer of quantised weights."""

import mlx.core as mx
import mlx.nn as nn
from ltx_core.device import backend

# Rows of the input from which on it is faster to make the weight's numbers first and multiply with these, by
# backend. CUDA: on thousands of rows the quantised product reaches 105 to 160 TFLOP/s, the other one 530 to
# 550 (H200, bfloat16). CPU: from 4 rows on, by up to 20 times (float32, OpenBLAS).
DEQUANTIZE_FROM_ROWS = {"cuda": 512, "cpu": 4}


class QuantizedLinear(nn.QuantizedLinear):
    """`mlx.nn.QuantizedLinear` that multiplies as is faster for the input's number of rows."""

    def __call__(self, x: mx.array) -> mx.array:
        """x (..., in) to (..., out), in the dtype of x."""
        threshold = DEQUANTIZE_FROM_ROWS.get(backend())
        rows = x.size // x.shape[-1]
        if threshold is None or rows < threshold:
            result: mx.array = super().__call__(x)
            return result
        weight = mx.dequantize(
            self["weight"],
            scales=self["scales"],
            biases=self.get("biases"),
            group_size=self.group_size,
            bits=self.bits,
            mode=self.mode,
            dtype=x.dtype,
        )
        if "bias" in self:
            return mx.addmm(self["bias"], x, weight.T)
        return x @ weight.T
