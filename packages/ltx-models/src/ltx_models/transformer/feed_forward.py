"""The feed-forward part of a transformer block."""

import math

import mlx.core as mx
import mlx.nn as nn
from ltx_core.device import compiled

# GELU in its tanh approximation is x / (1 + exp(-x (SLOPE + CUBIC x^2))).
SLOPE = 2 * math.sqrt(2 / math.pi)
CUBIC = SLOPE * 0.044715
# Larger exponents change nothing any more, but make infinities in the gradient.
MAX_EXPONENT = 40.0


@compiled
def gelu_approx(x: mx.array) -> mx.array:
    """GELU in its tanh approximation. `mlx.nn.gelu_approx` raises to a power, which takes longer than reading
    and writing the numbers."""
    value = x.astype(mx.float32)
    exponent = -value * (SLOPE + CUBIC * mx.square(value))
    return (value / (1 + mx.exp(mx.minimum(exponent, MAX_EXPONENT)))).astype(x.dtype)


class GELUApprox(nn.Module):
    """Linear, then GELU in its tanh approximation."""

    def __init__(self, dim_in: int, dim_out: int, bias: bool = True) -> None:
        super().__init__()
        self.proj = nn.Linear(dim_in, dim_out, bias=bias)

    def __call__(self, x: mx.array) -> mx.array:
        result: mx.array = gelu_approx(self.proj(x))
        return result


class FeedForward(nn.Module):
    """Linear to `mult` times the width, GELU (tanh), linear to `dim_out`; x: (B, T, dim).

    Reference component: `model/transformer/feed_forward.py`.
    """

    def __init__(self, dim: int, dim_out: int, mult: int = 4, bias: bool = True) -> None:
        super().__init__()
        # The checkpoint counts a dropout as entry 1.
        self.net = [
            GELUApprox(dim, mult * dim, bias),
            nn.Identity(),
            nn.Linear(mult * dim, dim_out, bias=bias),
        ]

    def __call__(self, x: mx.array) -> mx.array:
        project_in, _, project_out = self.net
        result: mx.array = project_out(project_in(x))
        return result
