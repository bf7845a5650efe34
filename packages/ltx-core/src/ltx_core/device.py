"""The one place that decides where to compute and in which precision."""

import platform
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import mlx.core as mx

from ltx_core.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

DTYPES: dict[str, mx.Dtype] = {"float32": mx.float32, "bfloat16": mx.bfloat16}


def backend() -> str:
    """The backend of MLX's default device: "metal", "cuda" or "cpu"."""
    if mx.default_device() == mx.cpu:
        return "cpu"
    return "metal" if platform.system() == "Darwin" else "cuda"


def default_dtype() -> mx.Dtype:
    """bfloat16 on GPUs; float32 on CPUs, where MLX's bfloat16 matrix product is slow."""
    return mx.float32 if backend() == "cpu" else mx.bfloat16


def resolve_dtype(name: str | mx.Dtype | None) -> mx.Dtype:
    """Dtype by name ("float32", "bfloat16"), or the default of this device for None or "auto".

    float16 is refused: activations of LTX-2 leave its range (values above 65504 become infinite).

    Raises:
        ConfigError: for any other name.
    """
    if name is None or name == "auto":
        return default_dtype()
    for known, dtype in DTYPES.items():
        if name == (known if isinstance(name, str) else dtype):
            return dtype
    raise ConfigError(f"dtype {name!r} is not supported; choose 'float32', 'bfloat16' or 'auto'")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """A small function of arrays, fused into one kernel on GPUs, where its time is memory traffic.

    On CPUs it runs as it is: there MLX compiles with the system's C++ compiler, which a user may not have,
    takes half a second for each function, and does not vectorise what it fuses.
    """
    fused: Callable[P, R] = mx.compile(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs) if backend() == "cpu" else fused(*args, **kwargs)

    return call
