"""The transformer's CUDA kernels, emulated: the numbers of their descriptions.

Their source is compiled as C++, the threads of a block are threads that wait for each other. That says
whether a kernel computes the right numbers, not whether a GPU's compiler takes it, nor how fast it is.
"""

import ctypes
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from ltx_models.transformer import cuda_kernels

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

SHIM = r"""
#include <array>
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>
using Shape = std::array<int32_t, 10>;
struct bfloat16 {
  uint16_t bits;
  bfloat16() = default;
  explicit bfloat16(float value) {
    uint32_t all;
    memcpy(&all, &value, 4);
    bits = (all + 0x7fff + ((all >> 16) & 1)) >> 16;
  }
  explicit operator float() const {
    uint32_t all = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &all, 4);
    return value;
  }
};
struct Place { int x, y, z; };
thread_local Place blockIdx, threadIdx;
static std::unique_ptr<std::barrier<>> block_barrier;
static std::vector<std::unique_ptr<std::barrier<>>> warp_barriers;
static float shuffled[1024];
void __syncthreads() { block_barrier->arrive_and_wait(); }
float __shfl_xor_sync(unsigned, float value, int mask) {
  shuffled[threadIdx.x] = value;
  warp_barriers[threadIdx.x / 32]->arrive_and_wait();
  float other = shuffled[threadIdx.x ^ mask];
  warp_barriers[threadIdx.x / 32]->arrive_and_wait();
  return other;
}
float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
#define __shared__ static
"""

RUN = r"""
extern "C" void run(void** a, int blocks, int threads) {
  block_barrier = std::make_unique<std::barrier<>>(threads);
  warp_barriers.clear();
  for (int warp = 0; warp < threads / 32; ++warp)
    warp_barriers.push_back(std::make_unique<std::barrier<>>(32));
  std::vector<std::thread> all;
  for (int thread = 0; thread < threads; ++thread)
    all.emplace_back([=] {
      for (int block = 0; block < blocks; ++block) {
        threadIdx = {thread, 0, 0};
        blockIdx = {block, 0, 0};
        kernel(ARGUMENTS);
        block_barrier->arrive_and_wait();
      }
    });
  for (auto& thread : all) thread.join();
}
"""

TYPES = {mx.float32: "float", mx.bfloat16: "bfloat16", mx.int32: "int32_t"}


def _host(array: mx.array) -> np.ndarray:
    if array.dtype == mx.bfloat16:
        array = array.view(mx.uint16)
    return np.ascontiguousarray(np.array(array))


def _device(array: np.ndarray, dtype: mx.Dtype) -> mx.array:
    return mx.array(array).view(dtype)


class EmulatedCuda:
    """Stands for `mlx.core.fast.cuda_kernel`; compiles into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, name: str, input_names: Sequence[str], output_names: Sequence[str], source: str
    ) -> Callable[..., list[mx.array]]:
        def call(
            inputs: Sequence[mx.array],
            template: Sequence[tuple[str, Any]],
            grid: tuple[int, int, int],
            threadgroup: tuple[int, int, int],
            output_shapes: Sequence[Sequence[int]],
            output_dtypes: Sequence[mx.Dtype],
        ) -> list[mx.array]:
            parameters, arrays = [], []
            for given, array in zip(input_names, inputs, strict=True):
                parameters.append(f"const {TYPES[array.dtype]}* {given}")
                arrays.append(_host(array))
                if f"{given}_shape" in source:
                    parameters.append(f"Shape {given}_shape")
                    arrays.append(np.array([*array.shape, *[0] * (10 - array.ndim)], np.int32))
            results = []
            for made, shape, dtype in zip(output_names, output_shapes, output_dtypes, strict=True):
                parameters.append(f"{TYPES[dtype]}* {made}")
                results.append(np.zeros(shape, np.uint16 if dtype == mx.bfloat16 else np.float32))
            constants = "".join(
                f"using {key} = {TYPES[value]};\n"
                if isinstance(value, mx.Dtype)
                else f"constexpr int {key} = {value};\n"
                for key, value in template
            )
            run = self._compile(
                f"void kernel({', '.join(parameters)}) {{\n{constants}{source}\n}}", parameters
            )
            pointers = [array.ctypes.data for array in (*arrays, *results)]
            run((ctypes.c_void_p * len(pointers))(*pointers), -(-grid[0] // threadgroup[0]), threadgroup[0])
            return [_device(*pair) for pair in zip(results, output_dtypes, strict=True)]

        return call

    def _compile(self, kernel: str, parameters: Sequence[str]) -> Any:
        arguments = []
        for n, parameter in enumerate(parameters):
            kind = parameter.rpartition(" ")[0]
            arguments.append(f"*(Shape*)a[{n}]" if kind == "Shape" else f"({kind})a[{n}]")
        text = SHIM + kernel + RUN.replace("ARGUMENTS", ", ".join(arguments))
        library = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
        if not library.exists():
            code = library.with_suffix(".cpp")
            code.write_text(text)
            command = ["g++", "-std=c++20", "-shared", "-fPIC", "-pthread", "-w", "-o", library, code]
            subprocess.run(command, check=True)
        return ctypes.CDLL(str(library)).run


# A token is four warps, or two where a thread has both halves of a rotation.
SIZES = {"batch": 2, "tokens": 3, "width": 1024, "heads": 8}
KERNELS = (cuda_kernels._pass_kernel, cuda_kernels._norm_rope_kernel, cuda_kernels._gate_heads_kernel)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def emulated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for kernel in KERNELS:
        kernel.cache_clear()
    monkeypatch.setattr(mx.fast, "cuda_kernel", EmulatedCuda(folder))
    yield
    for kernel in KERNELS:
        kernel.cache_clear()


def normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed)).astype(mx.bfloat16)


def tokens(seed: int) -> mx.array:
    return normal(seed, SIZES["batch"], SIZES["tokens"], SIZES["width"])


def wide(x: mx.array) -> mx.array:
    return x.astype(mx.float32)


def rms(x: mx.array) -> mx.array:
    return wide(x) * mx.rsqrt(mx.square(wide(x)).mean(axis=-1, keepdims=True) + 1e-6)


def assert_rounded(got: list[mx.array], want: list[mx.array]) -> None:
    for left, right in zip(got, want, strict=True):
        assert left.dtype == mx.bfloat16
        assert mx.linalg.norm(wide(left) - right) < 3e-3 * mx.linalg.norm(right)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_sum_norm_and_modulations(count: int) -> None:
    """The rows of a gate and a modulation: one for all, one for each sample, or by an index (3)."""
    x, update = tokens(0), tokens(1)
    if not count:
        assert_rounded(cuda_kernels.token_pass(x, 1e-6, normed=True), [rms(x)])
        return
    index = mx.array([[2, 0, 1], [1, 1, 0]], mx.int32) if count == 3 else None
    gate, values = normal(2, count, 2, SIZES["width"]), normal(3, count, 5, SIZES["width"])

    def spread(rows: mx.array) -> mx.array:
        return wide(rows)[:, None] if index is None else wide(rows)[index]

    total = wide(x) + wide(update) * spread(gate[:, 1])
    got = cuda_kernels.token_pass(
        x,
        1e-6,
        normed=True,
        update=update,
        gate=gate,
        gate_index=index,
        gate_row=1,
        values=values,
        index=index,
        affines=((0, 1), (4, 2)),
    )
    normed = rms(total.astype(mx.bfloat16))
    modulated = [
        normed * (1 + spread(values[:, scale])) + spread(values[:, shift])
        for scale, shift in ((0, 1), (4, 2))
    ]
    assert_rounded(got, [total, *modulated])


@pytest.mark.parametrize("samples", [1, 2])
def test_norm_and_rotation(samples: int) -> None:
    heads, length = SIZES["heads"], SIZES["tokens"]
    half = SIZES["width"] // heads // 2
    cos, sin = (wide(normal(seed, samples, length, heads, half)) for seed in (4, 5))
    inputs, weights = [tokens(0), tokens(1)], [normal(6, SIZES["width"]), normal(7, SIZES["width"])]
    want = []
    for x, weight in zip(inputs, weights, strict=True):
        a, b = mx.split((rms(x) * wide(weight)).reshape(*x.shape[:2], heads, -1), 2, axis=-1)
        want.append(mx.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape))
    assert_rounded(cuda_kernels.norm_rope(inputs, weights, cos, sin, 1e-6), want)


def test_gates_of_heads() -> None:
    x = tokens(0).reshape(SIZES["batch"], SIZES["tokens"], SIZES["heads"], -1)
    logits = normal(1, *x.shape[:3])
    assert_rounded([cuda_kernels.gate_heads(x, logits)], [wide(x) * 2 * mx.sigmoid(wide(logits))[..., None]])
