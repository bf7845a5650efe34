"""Time and memory of a piece of work in torch, as `ltx_bench.measure` has them for MLX."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Run = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Runs before the first that counts, runs that count, and seconds after which none begins."""

    warmup: int
    count: int
    seconds: float


def measure(run: Run, timing: Timing, device: str) -> dict[str, Any]:
    """Seconds of each run, bytes of tensors alive at the worst moment, and before; FLOPs as torch counts."""
    with FlopCounterMode(display=False) as counter:
        run()
    for _ in range(timing.warmup - 1):
        run()
    wait(device)
    cuda = device == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if cuda else None
    seconds: list[float] = []
    end = time.perf_counter() + timing.seconds
    while not seconds or (len(seconds) < timing.count and time.perf_counter() < end):
        start = time.perf_counter()
        run()
        wait(device)
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() if cuda else None
    return {"seconds": seconds, "peak": peak, "before": before, "flops": counter.get_total_flops()}


def wait(device: str) -> None:
    """Until the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def forget_memory(device: str) -> None:
    """Give back what is allocated and not used."""
    if device == "cuda":
        torch.cuda.empty_cache()


def filled(make: Callable[[], Any], device: str, dtype: torch.dtype) -> Any:
    """A module made where it runs, with random weights of the sizes that `ltx_bench.networks` gives them."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            module = make()
    finally:
        torch.set_default_dtype(usual)
    materialize(module, device)
    with torch.no_grad():
        for name, value in module.named_parameters():
            fill(name, value)
        for name, value in module.named_buffers():
            # Others are filters and tables that the module has computed.
            if name.endswith(("-of-means", "_of_means", "basis")):
                fill(name, value)
    return module.to(dtype).eval().requires_grad_(False)


def materialize(module: torch.nn.Module, device: str) -> None:
    """Some parts are made without numbers, whatever device is asked for."""
    for part in module.modules():
        if any(value.is_meta for value in part.parameters(recurse=False)):
            part.to_empty(device=device, recurse=False)


def fill(name: str, value: torch.Tensor) -> None:
    """Uniform random numbers that keep outputs near 1 in size; scales of norms are near 1 themselves."""
    if value.ndim == 1 and name.endswith(("norm.weight", "norm1.weight", "std-of-means", "layernorm.weight")):
        value.uniform_(0.9, 1.1)
        return
    inputs = math.prod(value.shape[1:]) if value.ndim > 1 else 1
    bound = math.sqrt(3 / inputs) if value.ndim > 1 else 0.02
    value.uniform_(-bound, bound)


def noise(shape: tuple[int, ...], device: str, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Normal random numbers."""
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device, dtype=torch.float32).to(dtype)
