"""How much memory this machine has for a run."""

import os
from pathlib import Path

import mlx.core as mx
from ltx_core.device import backend

MEMINFO = Path("/proc/meminfo")


def available_memory() -> int | None:
    """Bytes that a run may take on the device that MLX computes on; None where the system does not say.

    Metal: the working set that it recommends, about three quarters of the memory. CUDA: what is free on the
    GPU. CPU: what is available under Linux, elsewhere all memory.
    """
    device = backend()
    if device == "metal":
        return _device_entry("max_recommended_working_set_size")
    if device == "cuda":
        return _device_entry("free_memory", "total_memory", "memory_size")
    if MEMINFO.is_file():
        for line in MEMINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _device_entry(*keys: str) -> int | None:
    info = mx.device_info()
    return next((int(info[key]) for key in keys if key in info), None)
