"""Formulas that are one pass over memory: a kernel of their own on CUDA, MLX's operations elsewhere."""

from functools import cache
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ltx_core.device import backend
from ltx_core.maths import rms_norm

VECTOR = 8
"""Values that a thread reads at once."""

THREADS = 256

# A row lies in LANES neighbouring threads of a warp, each with PER times VECTOR of its values in registers.
_ROW = """
struct alignas(sizeof(T) * 8) Pack { T value[8]; };
const int thread = blockIdx.x * blockDim.x + threadIdx.x;
const int lane = thread % LANES;
const bool inside = thread / LANES < rows[0];
const size_t start = inside ? (size_t)(thread / LANES) * (LANES * PER * 8) : 0;
auto total = [&](float value) {
  for (int away = LANES / 2; away > 0; away /= 2) value += __shfl_xor_sync(0xffffffffu, value, away);
  return value;
};
Pack x_row[PER];
float squares = 0.0f;
for (int p = 0; p < PER; ++p) {
  x_row[p] = *reinterpret_cast<const Pack*>(x + start + (p * LANES + lane) * 8);
  for (int i = 0; i < 8; ++i) {
    const float value = static_cast<float>(x_row[p].value[i]);
    squares += value * value;
  }
}
const float scale = rsqrtf(total(squares) / (LANES * PER * 8) + EPS);
"""

_FORWARD = """
for (int p = 0; p < PER; ++p) {
  Pack result;
  for (int i = 0; i < 8; ++i) {
    const float normed = static_cast<float>(x_row[p].value[i]) * scale;
    result.value[i] = static_cast<T>(normed / (1.0f + expf(-normed)));
  }
  if (inside) *reinterpret_cast<Pack*>(out + start + (p * LANES + lane) * 8) = result;
}
"""

_BACKWARD = """
float slope[PER][8];
float shared = 0.0f;
for (int p = 0; p < PER; ++p) {
  const Pack dy = *reinterpret_cast<const Pack*>(cotangent + start + (p * LANES + lane) * 8);
  for (int i = 0; i < 8; ++i) {
    const float normed = static_cast<float>(x_row[p].value[i]) * scale;
    const float gate = 1.0f / (1.0f + expf(-normed));
    slope[p][i] = static_cast<float>(dy.value[i]) * gate * (1.0f + normed * (1.0f - gate));
    shared += slope[p][i] * normed;
  }
}
shared = total(shared) / (LANES * PER * 8);
for (int p = 0; p < PER; ++p) {
  Pack result;
  for (int i = 0; i < 8; ++i) {
    const float normed = static_cast<float>(x_row[p].value[i]) * scale;
    result.value[i] = static_cast<T>(scale * (slope[p][i] - normed * shared));
  }
  if (inside) *reinterpret_cast<Pack*>(out + start + (p * LANES + lane) * 8) = result;
}
"""


@cache
def _kernels(eps: float) -> tuple[Any, Any]:
    """The function and its derivative."""

    def make(name: str, inputs: list[str], body: str) -> Any:
        source = (_ROW + body).replace("EPS", f"{eps!r}f")
        return mx.fast.cuda_kernel(f"norm_silu_{name}", [*inputs, "rows"], ["out"], source)

    return make("forward", ["x"], _FORWARD), make("backward", ["x", "cotangent"], _BACKWARD)


def _split(width: int) -> tuple[int, int] | None:
    """Threads for a row of this width and packs for each of them; None if it cannot be split so."""
    packs, rest = divmod(width, VECTOR)
    lanes = next((lanes for lanes in (32, 16, 8, 4, 2, 1) if packs % lanes == 0), 0)
    return (lanes, packs // lanes) if not rest and packs and packs // lanes <= 4 else None


def _launch(kernel: Any, x: mx.array, *more: mx.array) -> mx.array:
    split = _split(x.shape[-1])
    assert split is not None
    rows = x.size // x.shape[-1]
    threads = -(-rows * split[0] // THREADS) * THREADS
    result: mx.array
    (result,) = kernel(
        inputs=[x, *more, mx.array(rows, mx.int32)],
        template=[("T", x.dtype), ("LANES", split[0]), ("PER", split[1])],
        grid=(threads, 1, 1),
        threadgroup=(THREADS, 1, 1),
        output_shapes=[x.shape],
        output_dtypes=[x.dtype],
    )
    return result


@cache
def _norm_silu(eps: float) -> Any:
    forward, backward = _kernels(eps)

    @mx.custom_function
    def call(x: mx.array) -> mx.array:
        return _launch(forward, x)

    @call.vjp
    def gradient(primals: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
        return _launch(backward, primals, cotangent)

    return call


def norm_silu(x: mx.array, eps: float) -> mx.array:
    """SiLU of x / sqrt(mean(x^2) + eps), the mean over the last axis; x of any shape, in its dtype."""
    if backend() == "cuda" and _split(x.shape[-1]):
        result: mx.array = _norm_silu(eps)(x)
    else:
        result = nn.silu(rms_norm(x, eps=eps))
    return result
