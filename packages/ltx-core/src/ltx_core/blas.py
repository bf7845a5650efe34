"""A fast BLAS for MLX's CPU backend on Linux.

The Linux CPU wheel of MLX links the reference BLAS (about 5 GFLOP/s of float32 matrix product). Symbols that
are already in the process win over that library, so loading an OpenBLAS *before* the first `import mlx.core`
makes MLX use it. `import ltx_core` does that; where it does not apply (macOS, CUDA, no OpenBLAS installed, a
processor that this build cannot run on) nothing happens.

Two facts about the PyPI package `cmeel-openblas`, which the `cpu` extra installs:

- Each of its releases is compiled for one processor family, the one of the machine that built it. 0.3.29
  needs AVX2 and FMA; 0.3.31 and 0.3.23 need AVX-512 and kill the process elsewhere. Hence the exact pin, and
  the check of the library's own target against /proc/cpuinfo before its symbols become global.
- It needs a system libgfortran.so.5, which a plain machine lacks. MLX's own wheel carries one under a
  mangled name; it is offered under the name that OpenBLAS asks for, from memory.
"""

import ctypes
import os
import sys
from importlib import metadata
from pathlib import Path

AVX2 = frozenset({"avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

# What each OpenBLAS build target needs of the processor; a target that is not listed is not loaded.
TARGET_NEEDS = {
    "HASWELL": AVX2,
    "ZEN": AVX2,
    "SKYLAKEX": AVX512,
    "COOPERLAKE": AVX512 | {"avx512_bf16"},
    "SAPPHIRERAPIDS": AVX512 | {"avx512_bf16", "amx_tile"},
}


def _cpu_flags() -> frozenset[str]:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def _find(distribution: str, name: str) -> Path | None:
    """The first file of an installed distribution whose name starts with `name`."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name.startswith(name):
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    return None


def _offer_gfortran() -> None:
    """Put the libgfortran of MLX's wheel into the process under its plain name, `libgfortran.so.5`."""
    fortran, quadmath = _find("mlx-cpu", "libgfortran"), _find("mlx-cpu", "libquadmath")
    if fortran is None:
        raise OSError("no libgfortran in the process's reach")
    if quadmath is not None:
        ctypes.CDLL(str(quadmath))
    mangled = fortran.name.encode() + b"\0"
    plain = b"libgfortran.so.5".ljust(len(mangled), b"\0")
    memory = os.memfd_create("libgfortran.so.5")
    try:
        with os.fdopen(os.dup(memory), "wb") as out:
            out.write(fortran.read_bytes().replace(mangled, plain))
        ctypes.CDLL(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)


def _target(library: ctypes.CDLL) -> str:
    """The processor family that a loaded OpenBLAS was built for ("ZEN"); "DYNAMIC": it picks at run time."""
    library.openblas_get_config.restype = ctypes.c_char_p
    config = library.openblas_get_config().decode(errors="replace").upper()
    if "DYNAMIC_ARCH" in config:
        return "DYNAMIC"
    library.openblas_get_corename.restype = ctypes.c_char_p
    result: str = library.openblas_get_corename().decode(errors="replace").upper()
    return result


def load_openblas() -> str:
    """Make MLX's CPU backend use OpenBLAS, if that is possible here.

    Returns a short status for diagnostics: "loaded: <library>" or "not loaded: <why>". Never raises: without
    it everything works, slowly. Must run before the first import of `mlx.core` to have an effect.
    """
    if sys.platform != "linux":
        return "not loaded: only needed on Linux"
    if os.environ.get("LTX_OPENBLAS") == "0":
        return "not loaded: LTX_OPENBLAS=0"
    if "mlx.core" in sys.modules:
        return "not loaded: mlx.core was imported before ltx_core"
    path = _find("cmeel-openblas", "libopenblas.so")
    if path is None:
        return "not loaded: cmeel-openblas is not installed"
    try:
        try:
            local = ctypes.CDLL(str(path), mode=os.RTLD_LOCAL)
        except OSError:
            _offer_gfortran()
            local = ctypes.CDLL(str(path), mode=os.RTLD_LOCAL)
        target = _target(local)
        needs = frozenset() if target == "DYNAMIC" else TARGET_NEEDS.get(target)
        if needs is None:
            return f"not loaded: {path.name} is built for {target}, which is not known to be safe here"
        if missing := sorted(needs - _cpu_flags()):
            return f"not loaded: {path.name} is built for {target}, this processor lacks {', '.join(missing)}"
        ctypes.CDLL(str(path), mode=os.RTLD_GLOBAL)
    except (OSError, AttributeError) as error:
        return f"not loaded: {error}"
    return f"loaded: {path}"


def limit_threads(count: int) -> None:
    """Let the OpenBLAS that was loaded compute with at most `count` threads.

    Its threads wait for each other without sleeping. Many small products on a machine that is busy with other
    things, too, can take several times longer on two threads than on one. OPENBLAS_NUM_THREADS, if it is
    set, stays what counts.
    """
    path = STATUS.removeprefix("loaded: ")
    if path == STATUS or "OPENBLAS_NUM_THREADS" in os.environ:
        return
    library = ctypes.CDLL(path)
    library.openblas_set_num_threads(min(count, library.openblas_get_num_threads()))


STATUS = load_openblas()
