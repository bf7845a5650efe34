"""Passes over the tokens of a stream as CUDA kernels: each reads its inputs once and writes its results once.

What a block does beside its matrix products takes time by the bytes that it moves. As MLX's operations it
moves two to three times as many, and where rows are broadcast its fused operations read them value by value.
Here a token is a block of threads that holds it in registers, in float32, and rounds results once.
"""

from functools import cache
from typing import Any

import mlx.core as mx

PACK = 8
"""Values that a thread reads and writes at once."""

MAX_THREADS = 256
MAX_PACKS = 4
"""Of a thread: they stay in registers."""

_PACKS = """
struct alignas(sizeof(T) * 8) Pack { T value[8]; };
auto load = [](const T* from) { return *reinterpret_cast<const Pack*>(from); };
const int row = blockIdx.x;
"""

# The sum over a token's threads, which are whole warps.
_TOTAL = """
__shared__ float parts[NORMS][32];
auto total = [&](float value, int norm) {
  for (int away = 16; away > 0; away /= 2) value += __shfl_xor_sync(0xffffffffu, value, away);
  if (threadIdx.x % 32 == 0) parts[norm][threadIdx.x / 32] = value;
  __syncthreads();
  value = 0.0f;
  for (int warp = 0; warp < THREADS / 32; ++warp) value += parts[norm][warp];
  return value;
};
"""

# Which of the rows of a modulation (U, coefficients, width) a token has: U divides the tokens evenly, or the
# index says it.
_ROW_OF = """
auto row_of = [&](const T* rows, int count, int coefficients, const int* index, int coefficient) {
  const int own = index != nullptr ? index[row] : row / (x_shape[0] * x_shape[1] / count);
  return rows + ((size_t)own * coefficients + coefficient) * (THREADS * PER * 8);
};
"""


def _pass_source(update: bool, gate: str, values: str, affines: int, normed: bool, eps: float) -> str:
    """The body of `token_pass`; `gate` and `values`: "" for none, "even" or "indexed"."""
    gate_index = "gate_index" if gate == "indexed" else "nullptr"
    index = "index" if values == "indexed" else "nullptr"
    lines = [_PACKS, _TOTAL.replace("NORMS", "1") if normed else ""]
    if gate or values:
        lines.append(_ROW_OF)
    if gate:
        lines.append(f"const T* g = row_of(gate, gate_shape[0], gate_shape[1], {gate_index}, chosen[0]);")
    for n in range(affines):
        for name, place in (("scale", 1 + 2 * n), ("shift", 2 + 2 * n)):
            row = f"row_of(values, values_shape[0], values_shape[1], {index}, chosen[{place}])"
            lines.append(f"const T* {name}_{n} = {row};")
    lines.append("""
const size_t start = (size_t)row * (THREADS * PER * 8);
float kept[PER][8];
float squares = 0.0f;
for (int p = 0; p < PER; ++p) {
  const int place = (p * THREADS + threadIdx.x) * 8;
  const Pack a = load(x + start + place);""")
    if update:
        lines.append("  const Pack u = load(update + start + place);")
        lines.append("  Pack added;")
    if gate:
        lines.append("  const Pack by = load(g + place);")
    lines.append("""
  for (int i = 0; i < 8; ++i) {
    float value = static_cast<float>(a.value[i]);""")
    if update:
        factor = " * static_cast<float>(by.value[i])" if gate else ""
        lines.append(f"    value += static_cast<float>(u.value[i]){factor};")
        # The norm is one of what is stored.
        lines.append("    added.value[i] = static_cast<T>(value);")
        lines.append("    value = static_cast<float>(added.value[i]);")
    lines.append("    kept[p][i] = value;\n    squares += value * value;\n  }")
    if update:
        lines.append("  *reinterpret_cast<Pack*>(sum + start + place) = added;")
    lines.append("}")
    if normed:
        lines.append(f"""
const float scale = rsqrtf(total(squares, 0) / (THREADS * PER * 8) + {eps!r}f);
for (int p = 0; p < PER; ++p) {{
  const int place = (p * THREADS + threadIdx.x) * 8;
  Pack result;""")
        for n in range(affines):
            lines.append(f"""
  const Pack s_{n} = load(scale_{n} + place), h_{n} = load(shift_{n} + place);
  for (int i = 0; i < 8; ++i) {{
    const float factor = 1.0f + static_cast<float>(s_{n}.value[i]);
    result.value[i] = static_cast<T>(kept[p][i] * scale * factor + static_cast<float>(h_{n}.value[i]));
  }}
  *reinterpret_cast<Pack*>(out_{n} + start + place) = result;""")
        if not affines:
            lines.append("""
  for (int i = 0; i < 8; ++i) result.value[i] = static_cast<T>(kept[p][i] * scale);
  *reinterpret_cast<Pack*>(out_0 + start + place) = result;""")
        lines.append("}")
    return "\n".join(lines)


# A thread holds packs of both halves of a head, which rotate together.
_NORM_ROPE = """
struct alignas(16) Quad { float value[4]; };
const int tokens = cos_shape[1], heads = cos_shape[2];
const int sample = cos_shape[0] == 1 ? 0 : row / tokens;
const size_t table = ((size_t)sample * tokens + row % tokens) * heads;
const size_t start = (size_t)row * (THREADS * PER * 16);
#pragma unroll
for (int n = 0; n < COUNT; ++n) {
  const T *from = inputs[n], *weight = weights[n];
  T* to = outputs[n];
  Pack a[PER], b[PER];
  float squares = 0.0f;
  for (int p = 0; p < PER; ++p) {
    const int pair = p * THREADS + threadIdx.x;
    const int place = pair / (HALF / 8) * (2 * HALF) + pair % (HALF / 8) * 8;
    a[p] = load(from + start + place);
    b[p] = load(from + start + place + HALF);
    for (int i = 0; i < 8; ++i) {
      const float first = static_cast<float>(a[p].value[i]), second = static_cast<float>(b[p].value[i]);
      squares += first * first + second * second;
    }
  }
  const float scale = rsqrtf(total(squares, n) / (THREADS * PER * 16) + EPS);
  for (int p = 0; p < PER; ++p) {
    const int pair = p * THREADS + threadIdx.x;
    const int head = pair / (HALF / 8), within = pair % (HALF / 8) * 8;
    const int place = head * (2 * HALF) + within;
    const Pack wa = load(weight + place), wb = load(weight + place + HALF);
    const size_t angle = (table + head) * HALF + within;
    for (int quad = 0; quad < 2; ++quad) {
      const Quad c = *reinterpret_cast<const Quad*>(cos + angle + 4 * quad);
      const Quad s = *reinterpret_cast<const Quad*>(sin + angle + 4 * quad);
      for (int j = 0; j < 4; ++j) {
        const int i = 4 * quad + j;
        const float first = static_cast<float>(a[p].value[i]) * scale * static_cast<float>(wa.value[i]);
        const float second = static_cast<float>(b[p].value[i]) * scale * static_cast<float>(wb.value[i]);
        a[p].value[i] = static_cast<T>(first * c.value[j] - second * s.value[j]);
        b[p].value[i] = static_cast<T>(second * c.value[j] + first * s.value[j]);
      }
    }
    *reinterpret_cast<Pack*>(to + start + place) = a[p];
    *reinterpret_cast<Pack*>(to + start + place + HALF) = b[p];
  }
}
"""

# Here a row is not a token but as many packs as a block has threads.
_GATE_HEADS = """
const size_t pack = (size_t)row * THREADS + threadIdx.x;
if (pack * 8 < (size_t)logits_shape[0] * logits_shape[1] * logits_shape[2] * SIZE) {
  const Pack a = load(x + pack * 8);
  const float gate = 2.0f / (1.0f + expf(-static_cast<float>(logits[pack * 8 / SIZE])));
  Pack result;
  for (int i = 0; i < 8; ++i) result.value[i] = static_cast<T>(static_cast<float>(a.value[i]) * gate);
  *reinterpret_cast<Pack*>(out + pack * 8) = result;
}
"""


def threads_for(packs: int) -> tuple[int, int] | None:
    """Threads, whole warps, that share so many packs evenly, and packs for each; None if there are none."""
    for threads in range(MAX_THREADS, 0, -32):
        if packs and packs % threads == 0 and packs // threads <= MAX_PACKS:
            return threads, packs // threads
    return None


def width_fits(width: int) -> bool:
    """Whether `token_pass` takes tokens of this width."""
    return width % PACK == 0 and threads_for(width // PACK) is not None


def heads_fit(width: int, size: int) -> bool:
    """Whether `norm_rope` takes tokens of this width with heads of this size."""
    return size % (2 * PACK) == 0 and threads_for(width // (2 * PACK)) is not None


@cache
def _numbers(*values: int) -> mx.array:
    return mx.array(values, mx.int32)


@cache
def _pass_kernel(update: bool, gate: str, values: str, affines: int, normed: bool, eps: float) -> Any:
    inputs = ["x"]
    inputs += ["update"] * update
    inputs += ["gate"] * bool(gate) + ["gate_index"] * (gate == "indexed")
    inputs += ["values"] * bool(values) + ["index"] * (values == "indexed")
    outputs = ["sum"] * update + [f"out_{n}" for n in range(max(affines, 1) if normed else 0)]
    name = f"ltx_pass_{int(update)}{gate}_{values}{affines}{int(normed)}"
    source = _pass_source(update, gate, values, affines, normed, eps)
    return mx.fast.cuda_kernel(name, [*inputs, "chosen"], outputs, source), len(outputs)


def token_pass(
    x: mx.array,
    eps: float,
    *,
    normed: bool,
    update: mx.array | None = None,
    gate: mx.array | None = None,
    gate_index: mx.array | None = None,
    gate_row: int = 0,
    values: mx.array | None = None,
    index: mx.array | None = None,
    affines: tuple[tuple[int, int], ...] = (),
) -> list[mx.array]:
    """What stands between two matrix products of a block.

    Args:
        x: (B, T, width), as `width_fits` says.
        normed: whether normed tokens are wanted.
        update: added to x first, times a row of the gate if there is one.
        gate, values: (U, coefficients, width); U is 1 or B, or any with an index.
        gate_index, index: (B, T) int32, which of U a token has.
        gate_row: coefficient of the gate.
        affines: coefficients of (scale, shift) for each normed result; none: one result, as it is normed.

    Returns:
        x + update, if there is an update; then, if asked for, rms(x) (1 + scale) + shift for each affine.
    """

    def kind(rows: mx.array | None, by: mx.array | None) -> str:
        return "" if rows is None else "even" if by is None else "indexed"

    kernel, count = _pass_kernel(
        update is not None, kind(gate, gate_index), kind(values, index), len(affines), normed, eps
    )
    split = threads_for(x.shape[-1] // PACK)
    assert split is not None
    threads, per = split
    arrays = [array for array in (x, update, gate, gate_index, values, index) if array is not None]
    results: list[mx.array] = kernel(
        inputs=[*arrays, _numbers(gate_row, *(row for affine in affines for row in affine))],
        template=[("T", x.dtype), ("THREADS", threads), ("PER", per)],
        grid=(x.size // x.shape[-1] * threads, 1, 1),
        threadgroup=(threads, 1, 1),
        output_shapes=[x.shape] * count,
        output_dtypes=[x.dtype] * count,
    )
    return results


@cache
def _norm_rope_kernel(count: int, eps: float) -> Any:
    inputs, weights, outputs = (
        [f"{kind}_{n}" for n in range(count)] for kind in ("tokens", "weight", "result")
    )
    pointers = f"""
const T* const inputs[] = {{{", ".join(inputs)}}};
const T* const weights[] = {{{", ".join(weights)}}};
T* const outputs[] = {{{", ".join(outputs)}}};
"""
    source = _PACKS + _TOTAL.replace("NORMS", str(count)) + pointers + _NORM_ROPE
    source = source.replace("COUNT", str(count)).replace("EPS", f"{eps!r}f")
    return mx.fast.cuda_kernel(f"ltx_norm_rope_{count}", [*inputs, *weights, "cos", "sin"], outputs, source)


def norm_rope(
    tokens: list[mx.array], weights: list[mx.array], cos: mx.array, sin: mx.array, eps: float
) -> list[mx.array]:
    """RMS norm over the whole width, then RoPE by halves of heads, of queries, or of queries and keys.

    Args:
        tokens: one array or two (B, T, width), as `heads_fit` says.
        weights: (width,) of the norms.
        cos, sin: (B or 1, T, heads, half of a head) float32.

    Returns:
        Arrays like `tokens`.
    """
    x = tokens[0]
    half = cos.shape[-1]
    split = threads_for(x.shape[-1] // (2 * PACK))
    assert split is not None
    threads, per = split
    results: list[mx.array] = _norm_rope_kernel(len(tokens), eps)(
        inputs=[*tokens, *weights, cos, sin],
        template=[("T", x.dtype), ("THREADS", threads), ("PER", per), ("HALF", half)],
        grid=(x.size // x.shape[-1] * threads, 1, 1),
        threadgroup=(threads, 1, 1),
        output_shapes=[x.shape] * len(tokens),
        output_dtypes=[x.dtype] * len(tokens),
    )
    return results


@cache
def _gate_heads_kernel() -> Any:
    return mx.fast.cuda_kernel("ltx_gate_heads", ["x", "logits"], ["out"], _PACKS + _GATE_HEADS)


def gate_heads(x: mx.array, logits: mx.array) -> mx.array:
    """x (B, T, heads, size) times 2 sigmoid(logits), (B, T, heads); the size is a multiple of `PACK`."""
    blocks = -(-x.size // (PACK * MAX_THREADS))
    results: list[mx.array] = _gate_heads_kernel()(
        inputs=[x, logits],
        template=[("T", x.dtype), ("THREADS", MAX_THREADS), ("SIZE", x.shape[-1])],
        grid=(blocks * MAX_THREADS, 1, 1),
        threadgroup=(MAX_THREADS, 1, 1),
        output_shapes=[x.shape],
        output_dtypes=[x.dtype],
    )
    return results[0]
