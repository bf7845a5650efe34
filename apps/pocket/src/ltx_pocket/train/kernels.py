"""Chains of elementwise operations that are one pass over memory: kernels of their own on CUDA.

`mx.compile` fuses nothing here: inside of a gradient it leaves a function as it is. Unfused, the GELU of the
feed-forward alone moves more memory than all matrix products do.
"""

import math
from functools import cache
from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
from ltx_core.device import backend

THREADS = 256

PACK = 8
"""Values that a thread reads and writes at once."""

# GELU in its tanh approximation is x sigmoid(x (SLOPE + CUBIC x^2)).
SLOPE = 2 * math.sqrt(2 / math.pi)
CUBIC = SLOPE * 0.044715

_BODY = """
struct alignas(sizeof(T) * 8) Pack { T value[8]; };
const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
const size_t start = thread * 8;
if (thread < (size_t)sizes[0]) {
  auto pack = [&](const T* from, size_t where) { return *reinterpret_cast<const Pack*>(from + where); };
  Pack result;
  LOAD
  for (int i = 0; i < 8; ++i) {
    STEP
  }
  *reinterpret_cast<Pack*>(out + start) = result;
}
"""

_GELU = "1.0f / (1.0f + expf(-v * (SLOPE + CUBIC * v * v)))"

# Name to inputs, what a thread loads, and what it does with each of its values.
SOURCES = {
    "gelu": (
        ["x"],
        "const Pack a = pack(x, start);",
        f"""const float v = static_cast<float>(a.value[i]);
        result.value[i] = static_cast<T>(v * {_GELU});""",
    ),
    "gelu_slope": (
        ["x", "cotangent"],
        "const Pack a = pack(x, start), c = pack(cotangent, start);",
        f"""const float v = static_cast<float>(a.value[i]);
        const float gate = {_GELU};
        const float slope = gate * (1.0f + v * (1.0f - gate) * (SLOPE + 3.0f * CUBIC * v * v));
        result.value[i] = static_cast<T>(static_cast<float>(c.value[i]) * slope);""",
    ),
    "softmax_slope": (
        ["x", "cotangent", "along"],
        "const Pack a = pack(x, start), c = pack(cotangent, start);",
        """const float mean = static_cast<float>(along[(start + i) / sizes[1]]);
        const float away = static_cast<float>(c.value[i]) - mean;
        result.value[i] = static_cast<T>(static_cast<float>(a.value[i]) * away);""",
    ),
    # A pack lies in one half of a head; its partner in the other.
    "turn": (
        ["x", "cos", "sin"],
        """const size_t half = sizes[1] / 2, row = start / sizes[1], place = start % half;
        const bool second = start % sizes[1] >= half;
        const size_t table = row % sizes[2];
        const Pack a = pack(x, start), b = pack(x, second ? start - half : start + half);
        const Pack c = pack(cos, table * half + place);
        const Pack s = pack(sin, (2 * table + (second != (sizes[3] != 0))) * half + place);""",
        """result.value[i] = static_cast<T>(
          static_cast<float>(a.value[i]) * static_cast<float>(c.value[i]) +
          static_cast<float>(b.value[i]) * static_cast<float>(s.value[i]));""",
    ),
}


def source(name: str) -> tuple[list[str], str]:
    """Names of the inputs of a kernel, beside `sizes`, and its body."""
    inputs, load, step = SOURCES[name]
    body = _BODY.replace("LOAD", load).replace("STEP", step)
    return inputs, body.replace("SLOPE", f"{SLOPE!r}f").replace("CUBIC", f"{CUBIC!r}f")


@cache
def _kernel(name: str) -> Any:
    inputs, body = source(name)
    return mx.fast.cuda_kernel(f"pocket_{name}", [*inputs, "sizes"], ["out"], body)


@cache
def _sizes(*values: int) -> mx.array:
    return mx.array(values, mx.int32)


def _launch(name: str, x: mx.array, *more: mx.array, sizes: tuple[int, ...] = ()) -> mx.array:
    packs = x.size // PACK
    (result,) = _kernel(name)(
        inputs=[x, *(array.astype(x.dtype) for array in more), _sizes(packs, *sizes)],
        template=[("T", x.dtype)],
        grid=(-(-packs // THREADS) * THREADS, 1, 1),
        threadgroup=(THREADS, 1, 1),
        output_shapes=[x.shape],
        output_dtypes=[x.dtype],
    )
    return result


def _fits(size: int) -> bool:
    return backend() == "cuda" and size % PACK == 0


def gelu(x: mx.array) -> mx.array:
    """GELU in its tanh approximation."""
    if _fits(x.size):
        return _launch("gelu", x)
    return x * mx.sigmoid(x * (SLOPE + CUBIC * mx.square(x)))


def gelu_slope(x: mx.array, cotangent: mx.array) -> mx.array:
    """The gradient of `gelu` at x."""
    if _fits(x.size):
        return _launch("gelu_slope", x, cotangent)
    square = mx.square(x)
    gate = mx.sigmoid(x * (SLOPE + CUBIC * square))
    return cotangent * gate * (1 + x * (1 - gate) * (SLOPE + 3 * CUBIC * square))


def softmax_slope(weights: mx.array, cotangent: mx.array, along: mx.array) -> mx.array:
    """weights (cotangent - along), the gradient of a softmax over the last axis.

    Args:
        weights, cotangent: (..., D).
        along: (..., 1), the sum of their product.
    """
    if _fits(weights.size):
        return _launch("softmax_slope", weights, cotangent, along, sizes=weights.shape[-1:])
    return weights * (cotangent - along)


def turn(x: mx.array, cos: mx.array, sin: mx.array, back: bool = False) -> mx.array:
    """The halves a, b of the last axis to a cos - b sin, b cos + a sin.

    Args:
        x: (B, T, heads, D).
        cos: (1, T, heads, 1, D / 2).
        sin: (1, T, heads, 2, D / 2): -sin, then sin.
        back: turn by the opposite angle.
    """
    if _fits(x.shape[-1] // 2):
        sizes = x.shape[-1], math.prod(x.shape[1:3]), int(back)
        return _launch("turn", x, cos, sin, sizes=sizes)
    pairs = x.reshape(*x.shape[:-1], 2, -1)
    sin = sin[..., ::-1, :] if back else sin
    return (pairs * cos + pairs[..., ::-1, :] * sin).reshape(x.shape)
