"""The padding of a convolution's input and the activation before it, in one pass: a CUDA kernel."""

from functools import cache
from typing import Any

import mlx.core as mx

VECTOR = 8
"""Values that a thread reads at once."""

THREADS = 256

# A position of the result lies in LANES neighbouring threads of a warp, each with PER times VECTOR channels.
_SOURCE = """
struct alignas(sizeof(T) * 8) Pack { T value[8]; };
const int thread = blockIdx.x * THREADS + threadIdx.x;
const int lane = thread % LANES;
const int frames = sizes[1], height = sizes[2], width = sizes[3];
const int before_frames = sizes[4], x_frames = sizes[5], left = sizes[6];
const bool inside = thread / LANES < sizes[0];
int rest = inside ? thread / LANES : 0;
int column = rest % (width + 2 * MIRROR) - MIRROR;
rest /= width + 2 * MIRROR;
int row = rest % (height + 2 * MIRROR) - MIRROR;
rest /= height + 2 * MIRROR;
int frame = rest % frames - left;
const int sample = rest / frames;
column = column < 0 ? -column : column < width ? column : 2 * width - 2 - column;
row = row < 0 ? -row : row < height ? row : 2 * height - 2 - row;
const int last = before_frames + x_frames - 1;
frame = frame < 0 ? 0 : frame < last ? frame : last;
const bool earlier = frame < before_frames;
const T* source = earlier ? before : x;
const size_t plane = earlier ? (size_t)sample * before_frames + frame
                             : (size_t)sample * x_frames + frame - before_frames;
source += ((plane * height + row) * width + column) * (LANES * PER * 8);
Pack values[PER];
for (int p = 0; p < PER; ++p) values[p] = *reinterpret_cast<const Pack*>(source + (p * LANES + lane) * 8);
if (ACTIVATE) {
  float squares = 0.0f;
  for (int p = 0; p < PER; ++p) {
    for (int i = 0; i < 8; ++i) {
      const float value = static_cast<float>(values[p].value[i]);
      squares += value * value;
    }
  }
  for (int away = LANES / 2; away > 0; away /= 2) squares += __shfl_xor_sync(0xffffffffu, squares, away);
  const float scale = rsqrtf(squares / (LANES * PER * 8) + EPS);
  for (int p = 0; p < PER; ++p) {
    for (int i = 0; i < 8; ++i) {
      const float normed = static_cast<float>(values[p].value[i]) * scale;
      values[p].value[i] = static_cast<T>(normed / (1.0f + expf(-normed)));
    }
  }
}
if (inside) {
  T* target = out + (size_t)(thread / LANES) * (LANES * PER * 8);
  for (int p = 0; p < PER; ++p) *reinterpret_cast<Pack*>(target + (p * LANES + lane) * 8) = values[p];
}
"""


@cache
def _kernel(eps: float) -> Any:
    source = _SOURCE.replace("EPS", f"{eps!r}f").replace("THREADS", str(THREADS))
    return mx.fast.cuda_kernel("pad_activation", ["x", "before", "sizes"], ["out"], source)


def _split(channels: int) -> tuple[int, int]:
    """Threads for a position, and packs for each of them."""
    packs = channels // VECTOR
    lanes = next(lanes for lanes in (32, 16, 8, 4, 2, 1) if packs % lanes == 0)
    return lanes, packs // lanes


def fits(channels: int) -> bool:
    """Whether the kernel takes so many channels."""
    return channels % VECTOR == 0 and channels > 0 and _split(channels)[1] <= 4


@cache
def _sizes(*values: int) -> mx.array:
    return mx.array(values, mx.int32)


def pad(
    x: mx.array, before: mx.array | None, left: int, right: int, reflect: bool, eps: float | None
) -> mx.array:
    """See `ltx_models.video_vae.padding.pad`; `eps` of the norm, None: no activation. It has no gradient."""
    lanes, per = _split(x.shape[-1])
    batch, x_frames, height, width, channels = x.shape
    before_frames = 0 if before is None else before.shape[1]
    frames, edge = left + before_frames + x_frames + right, 2 * reflect
    shape = (batch, frames, height + edge, width + edge, channels)
    rows = batch * frames * (height + edge) * (width + edge)
    results: list[mx.array] = _kernel(0.0 if eps is None else eps)(
        inputs=[
            x,
            x if before is None else before,
            _sizes(rows, frames, height, width, before_frames, x_frames, left),
        ],
        template=[
            ("T", x.dtype),
            ("LANES", lanes),
            ("PER", per),
            ("MIRROR", int(reflect)),
            ("ACTIVATE", int(eps is not None)),
        ],
        grid=(-(-rows * lanes // THREADS) * THREADS, 1, 1),
        threadgroup=(THREADS, 1, 1),
        output_shapes=[shape],
        output_dtypes=[x.dtype],
    )
    return results[0]
