"""The bodies of the CUDA kernels, run by a C++ compiler with loops in place of blocks and threads."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
import pytest
from ltx_pocket.train import kernels

HEADER = """
#include <cmath>
#include <cstddef>
#include <cstdint>
typedef float T;
struct Index { int x; };
static Index blockIdx, blockDim, threadIdx;
"""

FUNCTION = """
static void body_NAME(INPUTS, const int32_t* sizes, T* out) { BODY }
extern "C" void NAME(INPUTS, const int32_t* sizes, T* out, int threads) {
  blockDim.x = 256;
  for (int thread = 0; thread < threads; ++thread) {
    blockIdx.x = thread / 256;
    threadIdx.x = thread % 256;
    body_NAME(NAMES, sizes, out);
  }
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    folder: Path = tmp_path_factory.mktemp("kernels")
    code = HEADER
    for name in kernels.SOURCES:
        inputs, body = kernels.source(name)
        function = FUNCTION.replace("INPUTS", ", ".join(f"const T* {entry}" for entry in inputs))
        code += function.replace("NAMES", ", ".join(inputs)).replace("NAME", name).replace("BODY", body)
    (folder / "kernels.cpp").write_text(code)
    made = folder / "kernels.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", made, folder / "kernels.cpp"], check=True)
    return ctypes.CDLL(str(made))


def test_kernels_compute_what_the_operations_do(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(name: str, x: mx.array, *more: mx.array, sizes: tuple[int, ...] = ()) -> mx.array:
        arrays = [np.ascontiguousarray(np.array(array)) for array in (x, *more)]
        out = np.zeros(x.shape, np.float32)
        packs = x.size // kernels.PACK
        numbers = np.array([packs, *sizes], np.int32)
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (*arrays, numbers, out)]
        getattr(library, name)(*pointers, -(-packs // kernels.THREADS) * kernels.THREADS)
        return mx.array(out)

    launched: set[str] = set()

    def check(function: Callable[..., mx.array], *arrays: mx.array, **options: bool) -> None:
        wanted = function(*arrays, **options)
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "backend", lambda: "cuda")
            patch.setattr(
                kernels, "_launch", lambda name, *a, **k: launched.add(name) or launch(name, *a, **k)
            )
            found = function(*arrays, **options)
        np.testing.assert_allclose(found, wanted, atol=1e-5)

    mx.random.seed(0)
    x, cotangent = 3 * mx.random.normal((3, 37, 40)), mx.random.normal((3, 37, 40))
    check(kernels.gelu, x)
    check(kernels.gelu_slope, x, cotangent)
    weights = mx.softmax(mx.random.normal((2, 5, 16, 52)))
    check(kernels.softmax_slope, weights, mx.random.normal(weights.shape), mx.random.normal((2, 5, 16, 1)))
    for size in (16, 32):
        x = mx.random.normal((3, 11, 5, size))
        cos, sin = mx.random.normal((1, 11, 5, 1, size // 2)), mx.random.normal((1, 11, 5, 2, size // 2))
        for back in (False, True):
            check(kernels.turn, x, cos, sin, back=back)
    assert launched == set(kernels.SOURCES)
