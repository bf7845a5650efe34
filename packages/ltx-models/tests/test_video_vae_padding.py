"""The CUDA kernel of the video VAE's padding, emulated, against the same by MLX's operations."""

import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import pytest
from ltx_models.video_vae import cuda_padding, padding

# Test modules are not packages, and cannot import each other.
EmulatedCuda = runpy.run_path(str(Path(__file__).with_name("test_transformer_kernels.py")))["EmulatedCuda"]

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def emulated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    cuda_padding._kernel.cache_clear()
    monkeypatch.setattr(mx.fast, "cuda_kernel", EmulatedCuda(folder))
    # Small blocks: the emulation has a thread for each of theirs.
    monkeypatch.setattr(cuda_padding, "THREADS", 32)
    yield
    cuda_padding._kernel.cache_clear()


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("channels", [8, 48])
@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("activate", [False, True])
def test_kernel(dtype: mx.Dtype, channels: int, reflect: bool, activate: bool) -> None:
    for batch, frames, before_frames, left, right in [(1, 3, 2, 0, 1), (2, 1, 0, 2, 0), (2, 2, 0, 1, 1)]:
        x = mx.random.normal((batch, frames, 2, 3, channels)).astype(dtype)
        before = None
        if before_frames:
            before = mx.random.normal((batch, before_frames, 2, 3, channels)).astype(dtype)
        want = padding._pad(x, before, left, right, reflect, activate)
        got = cuda_padding.pad(x, before, left, right, reflect, padding.EPS if activate else None)
        assert got.shape == want.shape
        assert got.dtype == dtype
        limit = 0.0 if not activate else 1e-5 if dtype == mx.float32 else 0.02
        assert mx.allclose(got.astype(mx.float32), want.astype(mx.float32), atol=limit, rtol=limit)


def test_which_channels_fit() -> None:
    assert [channels for channels in range(1100) if cuda_padding.fits(channels)][:6] == [
        8,
        16,
        24,
        32,
        48,
        64,
    ]
    assert all(cuda_padding.fits(channels) for channels in (48, 128, 256, 512, 1024))
    assert not cuda_padding.fits(2048)


def test_its_gradient_is_that_of_the_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    x, cotangent = mx.random.normal((1, 2, 2, 2, 8)), mx.random.normal((1, 4, 4, 4, 8))

    def slope() -> mx.array:
        def run(x: mx.array) -> mx.array:
            return padding.pad(x, None, 1, 1, reflect=True, activate=True)

        return mx.vjp(run, [x], [cotangent])[1][0]

    want = slope()
    monkeypatch.setattr(padding, "backend", lambda: "cuda")
    assert mx.allclose(slope(), want, atol=1e-6)
