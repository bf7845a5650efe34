"""What the measurements were made on: names, versions, and the rates that the device reaches."""

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
from ltx_core.device import backend, default_dtype

from ltx_bench.measure import Repetitions, measure


@dataclass(frozen=True)
class Machine:
    """One machine.

    Attributes:
        device: name of the GPU, or of the processor.
        backend: of MLX: "cuda", "metal" or "cpu".
        matmul_size: side of the square matrices that the rate was measured with.
        matmul_rate: FLOP per second of their product in `dtype`, random numbers.
        copy_rate: bytes read and written per second where one is added to every number of a large array.
        settings: variables of the environment that MLX and NCCL look at.
    """

    device: str
    backend: str
    mlx: str
    dtype: str
    matmul_size: int
    matmul_rate: float
    copy_rate: float
    settings: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def describe_machine(scale: str = "full") -> Machine:
    """Measure this one; "tiny" takes small matrices."""
    large = backend() != "cpu" and scale == "full"
    dtype = default_dtype()
    size = 8192 if large else 1024
    a, b = (mx.random.normal((size, size), key=mx.random.key(key)).astype(dtype) for key in (0, 1))
    mx.eval(a, b)
    repetitions = Repetitions(warmup=3, count=10)
    rate = 2 * size**3 / measure(lambda: a @ b, repetitions).median
    vector = mx.random.normal((2**30 if large else 2**22,), key=mx.random.key(2)).astype(dtype)
    mx.eval(vector)
    copied = 2 * vector.nbytes / measure(lambda: vector + 1, repetitions).median
    return Machine(
        device=_device(),
        backend=backend(),
        mlx=_version("mlx"),
        dtype=str(dtype).removeprefix("mlx.core."),
        matmul_size=size,
        matmul_rate=rate,
        copy_rate=copied,
        settings={name: value for name, value in os.environ.items() if name.startswith(("MLX_", "NCCL_"))},
    )


def _device() -> str:
    if backend() != "cpu":
        name = mx.device_info().get("device_name")
        if name:
            return str(name)
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # A folder on the path, as on machines without a network.
        return str(getattr(mx, "__version__", "unknown"))
