"""Cases of the reference: how they are read, which function computes each, and how they are judged.

A case file holds inputs `in.*` and outputs `out.*` of one component of the official implementation; its
metadata entry `case` says what was called and with which scalars. A function registered with `covers`
recomputes every `out.*` of the cases whose name matches its pattern.
"""

import fnmatch
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
from ltx_loaders import Checkpoint
from safetensors import safe_open

# Relative L2 error: in float32 by kind of case, and in bfloat16 for the networks that run in it (integers
# such as 8-bit frames are numbers there). An exception stands here with its reason, and nowhere else.
LIMITS = {"component": 1e-5, "network": 1e-4}
BFLOAT16_LIMIT = 3e-2
IN_BFLOAT16 = ("transformer_*", "vae_encode", "vae_decode", "vae_tiled", "audio_decode", "audio_encode")
# Video decoders that end in a handful of channels: the pixel norm over 3 or 4 numbers divides by values near
# 0 and amplifies every rounding. Measured with random weights, the error of the same network is 3e-2 to 8e-2
# at a width of 3, 2e-2 at 8 and 1.6e-2 at 64; real ones end at 128.
NARROW_DECODER, NARROW_BFLOAT16_LIMIT = 8, 1.5e-1

# 8-bit frames are truncated: decoders that agree to 1e-5 can stand on both sides of an integer. Measured with
# checkpoints of other sizes: up to 3 of 19008 values off by one. All other integers must be equal.
TRUNCATED, MAX_OFF_BY_ONE = "*.uint8", 1e-3

Values = Mapping[str, mx.array | np.ndarray]
Runner = Callable[["Case"], Values]


@dataclass(frozen=True)
class Case:
    """One recorded case. `inputs` and `outputs` are named without their `in.` and `out.` prefixes."""

    path: Path
    name: str
    reference: str
    args: dict[str, Any]
    inputs: dict[str, mx.array]
    outputs: dict[str, np.ndarray]
    dtype: mx.Dtype = mx.float32

    @property
    def root(self) -> Path:
        """The version directory: checkpoint, upscalers, LoRAs and the Gemma folder beside `cases/`."""
        return self.path.parent.parent

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.open(self.root / "checkpoint.safetensors")

    def build(self, component: str, **options: Any) -> Any:
        """A network of the case's checkpoint with its weights, in the precision under test."""
        return self.checkpoint.build(component, self.dtype, **options)

    @staticmethod
    def load(path: Path, dtype: mx.Dtype = mx.float32) -> "Case":
        inputs: dict[str, mx.array] = {}
        outputs: dict[str, np.ndarray] = {}
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            about = json.loads(metadata["case"])
            for key in file.keys():  # noqa: SIM118  (not a mapping)
                kind, _, name = key.partition(".")
                if kind == "in":
                    inputs[name] = mx.array(file.get_tensor(key))
                else:
                    outputs[name] = file.get_tensor(key)
        reference = metadata.get("reference", "")
        return Case(path, about["name"], reference, about["args"], inputs, outputs, dtype)


@dataclass(frozen=True)
class Covered:
    pattern: str
    kind: str
    run: Runner


REGISTRY: list[Covered] = []


def covers(pattern: str, *, kind: str) -> Callable[[Runner], Runner]:
    """Register the function that computes the cases whose name matches a shell-style `pattern`.

    `kind`: "component" or "network", which sets the limit.
    """

    def register(run: Runner) -> Runner:
        REGISTRY.append(Covered(pattern, kind, run))
        return run

    return register


def find_runner(name: str) -> Covered | None:
    """The registered function for a case name; the longest matching pattern wins."""
    matches = [entry for entry in REGISTRY if fnmatch.fnmatchcase(name, entry.pattern)]
    return max(matches, key=lambda entry: len(entry.pattern), default=None)


def find_cases(directory: Path) -> list[Path]:
    """Every case file at or below a directory (`cases/*.safetensors` at any depth)."""
    return sorted(path for path in directory.rglob("*.safetensors") if path.parent.name == "cases")


@dataclass
class Result:
    """The verdict on one case: worst errors over its outputs."""

    name: str
    relative: float = 0.0
    absolute: float = 0.0
    limit: float = 0.0
    failures: list[str] = field(default_factory=list)


def relative_l2(value: np.ndarray, want: np.ndarray) -> float:
    """||value - want|| / ||want||, in float64; the absolute norm where the reference is zero."""
    scale = float(np.linalg.norm(want.astype(np.float64)))
    error = float(np.linalg.norm(value.astype(np.float64) - want.astype(np.float64)))
    return error / scale if scale > 0 else error


def runs_in_bfloat16(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in IN_BFLOAT16)


def _limit(case: Case, kind: str) -> float:
    if case.dtype == mx.float32:
        return LIMITS[kind]
    if case.name in {"vae_decode", "vae_tiled"}:
        width = case.checkpoint.config["vae"].get("decoder_base_channels", 128)
        return NARROW_BFLOAT16_LIMIT if width < NARROW_DECODER else BFLOAT16_LIMIT
    return BFLOAT16_LIMIT


def _to_numpy(value: mx.array | np.ndarray) -> np.ndarray:
    if isinstance(value, mx.array):
        return np.array(value.astype(mx.float32) if value.dtype == mx.bfloat16 else value)
    return np.asarray(value)


def judge(case: Case, kind: str, values: Values) -> Result:
    """Compare everything a case recorded with everything that was computed."""
    result = Result(case.name, limit=_limit(case, kind))
    for name in sorted(set(case.outputs) - set(values)):
        result.failures.append(f"out.{name} was not computed")
    for name in sorted(set(values) - set(case.outputs)):
        result.failures.append(f"{name} was computed but the case has no out.{name}")
    for name in sorted(set(values) & set(case.outputs)):
        want, got = case.outputs[name], _to_numpy(values[name])
        if want.shape != got.shape:
            result.failures.append(f"out.{name}: shape {got.shape}, the reference has {want.shape}")
            continue
        if np.issubdtype(want.dtype, np.integer) and case.dtype == mx.float32:
            distance = np.abs(got.astype(np.int64) - want)
            different, largest = int((distance > 0).sum()), int(distance.max(initial=0))
            result.absolute = max(result.absolute, float(largest))
            by_truncation = largest == 1 and different <= MAX_OFF_BY_ONE * want.size
            if different and not (by_truncation and fnmatch.fnmatchcase(name, TRUNCATED)):
                result.failures.append(f"out.{name}: {different} of {want.size} integers differ")
            continue
        relative = relative_l2(got, want)
        absolute = float(np.abs(got.astype(np.float64) - want).max(initial=0.0))
        result.relative, result.absolute = max(result.relative, relative), max(result.absolute, absolute)
        if not relative <= result.limit:
            result.failures.append(f"out.{name}: relative L2 error {relative:.2e} > {result.limit:.1e}")
    return result


def table(results: list[Result]) -> Iterator[str]:
    """The lines of the closing table."""
    width = max((len(result.name) for result in results), default=4)
    yield f"{'case':<{width}}  {'rel. L2':>8}  {'max abs':>8}  {'limit':>7}"
    for result in results:
        verdict = "" if not result.failures else "  FAILED"
        errors = f"{result.relative:8.1e}  {result.absolute:8.1e}  {result.limit:7.1e}"
        yield f"{result.name:<{width}}  {errors}{verdict}"
